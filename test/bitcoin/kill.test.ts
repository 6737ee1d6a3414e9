import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { openLedgerFile } from '../../local/ports.ts'
import { readHeader } from '../../shared/chain/header.ts'
import type { BitcoinSettings } from '../../shared/config/bitcoin.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import type { BlockEntry, Entry } from '../../shared/ledger/kinds.ts'
import { follows, statusIn, type TxStatus } from '../../shared/ledger/status.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { random, seed } from '../random.ts'
import { bitcoinOf, freshScript, manySigned } from './machine.ts'
import type { RegtestNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

/** OVERPOOL_CHAIN_ROUNDS=100 is the long run. From 10 rounds on the node is killed, too: what it forgets then is sent again after a minute. */
const ROUNDS = Number(process.env.OVERPOOL_CHAIN_ROUNDS ?? 2)
const TRANSACTIONS = 500
const POOLS = ['always', 'asked', 'chosen']
/** The longest life of a machine, from when it is open, ms. */
const LIFE_MS = 1_000
/** How long the last machine has to come to rest. */
const REST_MS = 240_000

interface Payment {
  path: string
  payment: string
  id: string
}

/** The machine in a process of its own. */
class KilledMachine implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'overpool-killed-'))
  readonly #settings: string
  #child: ChildProcess | undefined

  constructor(bitcoin: BitcoinSettings, script: string) {
    this.#settings = JSON.stringify({ dir: this.dir, bitcoin, script })
  }

  async start(): Promise<void> {
    this.#child = fork(fileURLToPath(new URL('killed.ts', import.meta.url)), [this.#settings], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    await once(this.#child, 'message')
  }

  post(payment: Payment): void {
    if (this.#child?.connected) this.#child.send(payment, () => {}) // it may be dead
  }

  async kill(): Promise<void> {
    const exited = once(this.#child!, 'exit')
    this.#child!.kill('SIGKILL')
    await exited
  }

  async close(): Promise<void> {
    const exited = once(this.#child!, 'exit')
    this.#child!.send('close')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child?.exitCode === null && this.#child.signalCode === null) await this.kill()
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 })
  }

  /** The lines of a file that it writes. */
  lines(file: string): string[] {
    const path = join(this.dir, file)
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
  }

  /** All entries of a pool. */
  async entries(path: string): Promise<Entry[]> {
    const ledger = openLedgerFile(join(this.dir, 'ledger'))
    try {
      const entries: Entry[] = []
      for (let n = 0, page = await ledger.stores.blocks.read(path, n); page.length; page = await ledger.stores.blocks.read(path, n)) {
        entries.push(...page.flatMap(entriesOf))
        n = page.at(-1)!.n + 1
      }
      return entries
    } finally {
      ledger.close()
    }
  }
}

describe('a machine that is killed', () => {
  const node = nodeOr()

  it(`commits ${TRANSACTIONS} transactions through ${ROUNDS} rounds of kill -9, while blocks come and go: each has the status that the node gives it, and nothing is there twice`, {
    timeout: ROUNDS * 10_000 + REST_MS + 60_000,
  }, async () => {
    console.log(`${ROUNDS} rounds, seed ${seed}`)
    const script = freshScript().toHex()
    const all = await manySigned(node(), TRANSACTIONS)
    await node().generate(10) // no reorganisation reaches the transaction that they spend
    await using machine = new KilledMachine(bitcoinOf(node()), script)
    const payments = all.map((tx, i): Payment => ({ path: POOLS[i % POOLS.length]!, payment: tx.toHex(), id: `payment ${i}` }))
    const funded: string[] = []
    let [kills, reorganisations] = [0, 0]
    for (let round = 0; round < ROUNDS; round++) {
      await machine.start()
      const posted = new Set(machine.lines('posted'))
      for (const payment of payments.slice(0, Math.ceil(((round + 1) * TRANSACTIONS) / ROUNDS)))
        if (!posted.has(payment.id)) machine.post(payment)
      const life = wait(random() * LIFE_MS)
      const chain = disturb(node(), async () => void funded.push((await node().fund(script, 1_000)).txid)).catch(async (error) => {
        if (!(await node().hasCrashed())) throw error
        await node().start()
        kills++
      })
      await life
      await machine.kill()
      if (await chain) reorganisations++
      if (ROUNDS >= 10 && random() < 0.05) {
        if (random() < 0.5) await node().flush()
        await node().kill()
        await node().start()
        kills++
      }
    }

    await machine.start()
    for (const payment of payments) machine.post(payment)
    await expect.poll(() => new Set(machine.lines('posted')).size, { timeout: 60_000 }).toBe(TRANSACTIONS)
    const began = performance.now()
    await expect
      .poll(
        async () => {
          await node().generate(1)
          const counts = await Promise.all(POOLS.map(async (path) => minedIn(await machine.entries(path)).size))
          return counts.reduce((sum, count) => sum + count, 0)
        },
        { timeout: REST_MS, interval: 1_000 },
      )
      .toBe(TRANSACTIONS)
    const [last] = await node().generate(1)
    const tipOf = async (path: string) => (await machine.entries(path)).findLast(({ kind }) => kind === 'block')
    for (const path of ['_chain', 'grid']) await expect.poll(() => tipOf(path), { timeout: 30_000 }).toMatchObject({ hash: last })
    const handled = async (path: string) => {
      const seqs = (await machine.entries(path)).flatMap(({ kind }, seq) => (kind === 'commit' ? [] : [seq]))
      await expect.poll(() => new Set(seqsOf(machine.lines('events'), path)).size, { timeout: 30_000 }).toBe(seqs.length)
      return seqs
    }
    const expected = new Map<string, number[]>()
    for (const path of [...POOLS, 'grid']) expected.set(path, await handled(path))
    await machine.close()

    for (const path of POOLS) {
      const entries = await machine.entries(path)
      const txids = entries.flatMap((entry) => (entry.kind === 'tx' ? [scanTransaction(entry.tx).txid] : []))
      const ours = all.filter((_, i) => POOLS[i % POOLS.length] === path).map((tx) => tx.id('hex'))
      expect(txids.toSorted(), `entries of ${path}`).toEqual(ours.toSorted())
      expect(
        entries.filter(({ kind }) => kind === 'commit'),
        `commits in ${path}`,
      ).toHaveLength(ours.length)
      await areTrue(entries, node())
    }
    const grid = await machine.entries('grid')
    await areTrue(grid, node())
    isChain(grid)
    isChain(await machine.entries('_chain'))
    const found: string[] = grid.flatMap((entry) => (entry.kind === 'tx' ? [scanTransaction(entry.tx).txid] : []))
    expect(new Set(found).size, 'transactions of the grid').toBe(found.length)
    // What was mined before the grid began is not its own. A node forgets a transaction when it is killed, or when a reorganisation takes back the coin that it spends.
    const begin = grid.find(({ kind }) => kind === 'block') as BlockEntry
    const heights = new Map<string, number | undefined>()
    for (const txid of funded) heights.set(txid, await heightOf(node(), txid)) // one by one: a node answers 500 when sixteen questions wait
    const wanted = funded.filter((txid) => (heights.get(txid) ?? 0) > begin.height)
    expect(
      wanted.filter((txid) => !found.includes(txid)),
      'transactions that the grid lacks',
    ).toEqual([])
    expect(
      found.filter((txid) => !funded.includes(txid)),
      'transactions of nobody in the grid',
    ).toEqual([])
    for (const [path, seqs] of expected) {
      const got = seqsOf(machine.lines('events'), path)
      const firsts = got.filter((seq, i) => got.indexOf(seq) === i)
      expect(firsts, `what the handler got of ${path}, in order`).toEqual(seqs)
      for (const life of livesOf(machine.lines('events'), path))
        expect(life, `the order in ${path}`).toEqual(life.toSorted((a, b) => a - b))
      for (const life of livesOf(machine.lines('events'), path))
        expect(new Set(life).size, `what one machine handled twice in ${path}`).toBe(life.length)
    }
    const before = funded.length - wanted.length
    const rest = Math.round((performance.now() - began) / 1_000)
    console.log(
      `${reorganisations} reorganisations, the node killed ${kills} times, ${before} of ${funded.length} funded and not for the grid, at rest after ${rest} s`,
    )
  })
})

/** Lets blocks come and go for a while. @returns whether the chain was reorganised */
async function disturb(node: RegtestNode, fund: () => Promise<void>): Promise<boolean> {
  let isReorganised = false
  for (let step = 0; step < 4; step++) {
    await wait(random() * 200)
    if (random() < 0.5) await fund()
    if (random() < 0.5) await node.generate(1)
    if (random() < 0.15) {
      const depth = 1 + Math.floor(random() * 3)
      const height = await node.rpc<number>('getblockcount')
      await node.rpc('invalidateblock', await node.rpc('getblockhash', height - depth + 1))
      await node.generate(depth + 1)
      isReorganised = true
    }
  }
  return isReorganised
}

/** The sequence numbers that the handler has written down for a pool. */
function seqsOf(lines: string[], path: string): number[] {
  return lines.flatMap((line) => {
    const [pool, seq] = line.split(' ')
    return pool === path ? [Number(seq)] : []
  })
}

/** The same, for each life of the machine: after a death, the entries since the cursor was written are handled again. */
function livesOf(lines: string[], path: string): number[][] {
  const begins = lines.flatMap((line, i) => (line === 'life' ? [i] : []))
  return begins.map((begin, i) => seqsOf(lines.slice(begin, begins[i + 1]), path))
}

/** What each transaction of a pool went through. */
function historyOf(entries: Entry[]): Map<string, { entry: Entry; status: TxStatus }[]> {
  const history = new Map<string, { entry: Entry; status: TxStatus }[]>()
  for (const entry of entries) {
    const txid = entry.kind === 'tx' ? scanTransaction(entry.tx).txid : entry.kind === 'status' ? entry.of.txid : undefined
    const status = statusIn(entry)
    if (txid !== undefined && status) history.set(txid, [...(history.get(txid) ?? []), { entry, status }])
  }
  return history
}

function minedIn(entries: Entry[]): Set<string> {
  return new Set([...historyOf(entries)].flatMap(([txid, said]) => (said.at(-1)!.status.status === 'mined' ? [txid] : [])))
}

/** The height of the block of the node's chain that has a transaction. */
async function heightOf(node: RegtestNode, txid: string): Promise<number | undefined> {
  const hash = await blockOf(node, txid)
  return hash === undefined ? undefined : (await node.rpc<{ height: number }>('getblockheader', hash)).height
}

async function blockOf(node: RegtestNode, txid: string): Promise<string | undefined> {
  const known = await node.rpc<{ blockhash?: string; confirmations?: number }>('getrawtransaction', txid, true).catch(() => undefined)
  return (known?.confirmations ?? 0) > 0 ? known!.blockhash : undefined
}

/** Each status follows on the one before it, and the last one is what the node says. */
async function areTrue(entries: Entry[], node: RegtestNode): Promise<void> {
  for (const [txid, said] of historyOf(entries)) {
    const words = said.map(({ status }) => `${status.status} ${status.blockHash ?? ''}`)
    for (const [i, { entry }] of said.entries())
      if (i > 0 && entry.kind === 'status')
        expect(follows(said[i - 1]!.status, entry), `${txid}: ${words[i - 1]}, then ${words[i]}`).toBe(true)
    const block = await blockOf(node, txid)
    const last = said.at(-1)!.status
    if (block === undefined) expect(['seen', 'double-spent'], `${txid}: ${words.join(', ')}`).toContain(last.status)
    else expect(last, `${txid}: ${words.join(', ')}`).toMatchObject({ status: 'mined', blockHash: block, proven: true })
  }
}

/** The blocks follow on each other, and each reorganisation goes back to one of them. */
function isChain(entries: Entry[]): void {
  const chain: string[] = []
  for (const entry of entries) {
    if (entry.kind === 'block') {
      if (chain.length) expect(readHeader(entry.header).previous, `the block before ${entry.height}`).toBe(chain.at(-1))
      expect(chain).not.toContain(entry.hash)
      chain.push(entry.hash)
    } else if (entry.kind === 'reorg') {
      expect(entry.from.hash).toBe(chain.at(-1))
      for (const hash of entry.undone) if (chain.length) expect(chain.pop()).toBe(hash)
      if (chain.length) expect(chain.at(-1)).toBe(entry.to.hash)
      else chain.push(entry.to.hash) // further back than the pool
    }
  }
}
