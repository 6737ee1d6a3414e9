import { EmbeddedMachine } from '../../../local/machine.ts'
import { lineOf } from '../../../local/report.ts'
import type { BitcoinSettings } from '../../../shared/config/bitcoin.ts'
import type { PoolConfig, PoolSettings } from '../../../shared/config/config.ts'
import type { LedgerEvent } from '../../../shared/ledger/event.ts'
import { answer } from '../program.ts'

// An embedded machine that takes part in Bitcoin. It notes what its handler gets, and when, on the clock of all processes (ns).

const [dir, settings] = process.argv.slice(2)
const bitcoin = JSON.parse(settings!) as BitcoinSettings

/** the methods of the node that were called, how often */
const calls: Record<string, number> = {}
const { fetch } = globalThis
globalThis.fetch = (url, init) => {
  const method = typeof init?.body === 'string' ? (JSON.parse(init.body) as { method: string }).method : 'GET'
  calls[method] = (calls[method] ?? 0) + 1
  return fetch(url, init)
}

const machine = await EmbeddedMachine.open({
  dir: dir!,
  bitcoin,
  report: (said) => {
    if ('error' in said) console.error(lineOf(said))
  },
})

/** The first event of each transaction and word: 'tx', or its status; and of each block by its height, with the word 'block'. */
const seen = new Map<string, bigint>()
/** when that was last */
let latest = 0n
let waiting: { key: string; word?: string; left: number; resolve: (at: string) => void } | undefined

function note(event: LedgerEvent): void {
  const at = process.hrtime.bigint()
  const word = event.kind === 'status' ? event.status : event.kind
  const txid =
    event.kind === 'tx' ? event.hash : event.kind === 'status' ? event.of.txid : event.kind === 'block' ? String(event.height) : ''
  const key = `${word} ${txid}`
  if (seen.has(key)) return
  seen.set(key, at)
  latest = at
  if (waiting && (waiting.key === key || (waiting.word === word && --waiting.left === 0))) {
    waiting.resolve(String(at))
    waiting = undefined
  }
}

const functions = { tx: note, status: note, block: note }
await machine.handle({ name: 'notes', functions, takes: () => true })

/** how many events of each word there were */
function countOf(word: string): number {
  let count = 0
  for (const key of seen.keys()) if (key.startsWith(`${word} `)) count++
  return count
}

answer({
  create: async ({ path, options }: { path: string; options: PoolSettings & Pick<PoolConfig, 'grid'> }) => {
    await machine.create(path, options)
  },
  /** When the handler got the first event of this transaction and word. */
  when: ({ txid, word }: { txid: string; word: string }) => {
    const key = `${word} ${txid}`
    return seen.has(key) ? String(seen.get(key)) : new Promise((resolve) => (waiting = { key, left: 0, resolve }))
  },
  /** When the handler had got so many transactions with this word. */
  whenMany: ({ word, count }: { word: string; count: number }) => {
    const left = count - countOf(word)
    return left <= 0 ? String(latest) : new Promise((resolve) => (waiting = { key: '', word, left, resolve }))
  },
  /** Posts transactions at once, in their order. @returns when it began */
  post: async ({ path, hexes }: { path: string; hexes: string[] }) => {
    const at = String(process.hrtime.bigint())
    for (let from = 0; from < hexes.length; from += 1_000)
      await Promise.all(hexes.slice(from, from + 1_000).map((payment) => machine.pools.post({ path, payment })))
    return at
  },
  calls: () => calls,
  /** What it has taken since its start: µs of the processor, memory; and how many transactions its handler got. */
  cost: () => {
    const { user, system } = process.cpuUsage()
    return { cpu: user + system, mb: process.resourceUsage().maxRSS / 1024, entries: countOf('tx') }
  },
  close: async () => {
    await machine.close()
  },
})
