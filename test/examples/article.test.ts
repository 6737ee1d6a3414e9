import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Overpool } from '../../index.ts'
import type { LedgerEvent } from '../../shared/ledger/event.ts'
import { nodeOr } from '../bitcoin/node-or-skip.ts'
import { Project, REPOSITORY } from '../cli/project.ts'
import { lasting, shownBy } from './shown.ts'

const LONGEST = { timeout: 120_000 }

describe('the examples of the article', () => {
  const node = nodeOr({ any: true })

  /** Runs the command of an example to its end, on the node of the tests: it prints what its README shows. Resolves to that, and to a reader of the pools that it has left. */
  async function played(project: Project, name: string) {
    const ledgers = join(project.dir, 'ledgers')
    mkdirSync(ledgers)
    const { url, user, password } = node()
    const env = { OVERPOOL_DIR: ledgers, BITCOIN_RPC_URL: url.replace('://', `://${user}:${password}@`) }
    const program = project.run('npm', ['run', '--silent', 'example', '--', name], { cwd: REPOSITORY, env })
    expect(await program.ended(), program.out + program.err).toBe(0)
    expect(program.err).toBe('')
    expect(lasting(program.out)).toEqual(lasting(shownBy(name, `npm run example -- ${name}`)))
    const entries = async (machine: string, path: string): Promise<LedgerEvent[]> => {
      const pool = new Overpool({ dir: join(ledgers, machine) })
      try {
        return await Array.fromAsync(pool.read({ path, kinds: 'all' }))
      } finally {
        await pool.close()
      }
    }
    return { out: program.out, entries }
  }

  /** The block that a transaction is in, as the node has it; undefined if it is in none. */
  async function blockOf(txid: string): Promise<string | undefined> {
    return (await node().rpc<{ blockhash?: string }>('getrawtransaction', txid, true)).blockhash
  }

  /** Each transaction of some entries, with its newest status. */
  function payments(entries: LedgerEvent[]) {
    return entries.filter((e) => e.kind === 'tx').map(({ hash, source, status }) => ({ hash, source, status }))
  }

  it('wire-transfer: what is posted is broadcast and mined', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'wire-transfer')
    const bob = await entries('bob', 'bob')
    const [payment] = payments(bob)
    expect(payments(bob)).toEqual([{ hash: payment!.hash, source: 'http', status: 'mined' }])
    const mined = bob.findLast((e) => e.kind === 'status')
    expect(mined).toMatchObject({ of: { txid: payment!.hash }, blockHash: await blockOf(payment!.hash) })
  })

  it('ip-to-ip: what pays Bob is in his pool, and the node has heard of none of it', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'ip-to-ip')
    const bob = await entries('bob', 'bob')
    expect(bob.map((e) => e.kind === 'tx' && [e.payment.memo, e.status])).toEqual([
      ['coffee', 'local'],
      ['cake', 'local'],
    ])
    for (const { hash } of payments(bob)) await expect(blockOf(hash)).rejects.toThrow(/No such mempool or blockchain transaction/)
  })

  it('ip-to-ip-triggers-wire-transfer: of three bills the third is mined, alone', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'ip-to-ip-triggers-wire-transfer')
    const bills = payments(await entries('bob', 'bob'))
    expect(bills.map(({ source }) => source)).toEqual(['http', 'http', 'http'])
    expect(bills[2]!.status).toBe('mined')
    expect(await blockOf(bills[2]!.hash)).toMatch(/^[0-9a-f]{64}$/)
    for (const { hash } of bills.slice(0, 2)) await expect(blockOf(hash)).rejects.toThrow(/No such mempool/)
  })

  it('wire-transfer-triggers-ip-to-ip: a payment of the chain has one ticket, which is off the chain', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'wire-transfer-triggers-ip-to-ip')
    const till = await entries('shop', 'till')
    const tickets = await entries('shop', 'tickets')
    const paid = till.find((e) => e.kind === 'tx')!
    expect(payments(till)).toEqual([{ hash: paid.hash, source: 'mempool', status: 'mined' }])
    expect(till.findLast((e) => e.kind === 'block')).toMatchObject({ hash: await blockOf(paid.hash), count: 1 })
    expect(tickets).toEqual([expect.objectContaining({ source: 'handler', cause: { key: paid.key, seq: paid.seq } })])
    const [ticket] = payments(tickets)
    await expect(blockOf(ticket!.hash)).rejects.toThrow(/No such mempool/)
  })

  it('swarm: what is posted to one machine is in the other one, and its handler has run', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'swarm')
    const orders = await entries('waiter', 'waiter')
    expect(payments(orders)).toHaveLength(2)
    expect(payments(await entries('kitchen', orders[0]!.key))).toEqual(payments(orders))
  })

  it('swarm-triggers-wire-transfer: what the stall took is mined, and the stall knows it from the gateway', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'swarm-triggers-wire-transfer')
    const stall = await entries('stall', 'stall')
    const [payment] = payments(stall)
    expect(payments(stall)).toEqual([{ hash: payment!.hash, source: 'http', status: 'local' }])
    const gateway = await entries('gateway', 'gateway')
    expect([...new Set(gateway.map(({ kind }) => kind))]).toEqual(['commit', 'status'])
    const mined = { kind: 'status', of: { txid: payment!.hash }, status: 'mined', blockHash: await blockOf(payment!.hash) }
    expect((await entries('stall', gateway[0]!.key)).at(-1)).toMatchObject(mined)
  })

  it('wire-transfer-triggers-swarm: what the one has found on the chain is in the other one, which has no node', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'wire-transfer-triggers-swarm')
    const found = await entries('lighthouse', 'donations')
    const [donation] = payments(found)
    expect(payments(found)).toEqual([{ hash: donation!.hash, source: 'mempool', status: 'mined' }])
    const boat = await entries('boat', found[0]!.key)
    expect(boat.findLast((e) => e.kind === 'status')).toMatchObject({
      of: { txid: donation!.hash },
      blockHash: await blockOf(donation!.hash),
    })
    expect(boat.map(({ id }) => id)).toEqual(found.slice(0, boat.length).map(({ id }) => id))
  })

  it('datapay: two notes are on the chain, the second one paid from the change of the first', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'datapay')
    const wallet = (await entries('writer', 'wallet')).filter((e) => e.kind === 'tx')
    expect(wallet.map(({ source, status, data }) => [source, status, data.map(({ text }) => text)])).toEqual([
      ['mempool', 'mined', []],
      ['handler', 'mined', ['hello', 'world']],
      ['handler', 'mined', ['hello', 'again']],
    ])
    expect(wallet.slice(1).map(({ parsed }) => parsed.in[0]!.e.h)).toEqual(wallet.slice(0, 2).map(({ hash }) => hash))
    for (const { hash } of wallet) expect(await blockOf(hash)).toMatch(/^[0-9a-f]{64}$/)
  })

  it('bitpipe: what passes the filter is on the chain, what does not is nowhere', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'bitpipe')
    expect(payments(await entries('pipe', 'pipe'))).toHaveLength(1)
    const [, signed, ...more] = (await entries('pipe', 'wallet')).filter((e) => e.kind === 'tx')
    expect(more).toEqual([])
    expect(signed!.data.map(({ text }) => text)).toEqual(['guestbook', 'Alice was here'])
    expect(await blockOf(signed!.hash)).toMatch(/^[0-9a-f]{64}$/)
  })

  it('fat-uri: the transaction of the link is funded, signed and mined', LONGEST, async () => {
    await using project = new Project()
    const { entries } = await played(project, 'fat-uri')
    const [coin, sent, ...more] = (await entries('alice', 'wallet')).filter((e) => e.kind === 'tx')
    expect(more).toEqual([])
    expect(sent!.parsed.in[0]!.e.h).toBe(coin!.hash)
    expect(sent!.parsed.out[0]!.e.v).toBe(4_000)
    expect(sent!.status).toBe('mined')
    expect(await blockOf(sent!.hash)).toMatch(/^[0-9a-f]{64}$/)
  })
})

describe('npm run example', () => {
  it('says in a sentence why it cannot run without a node', LONGEST, async () => {
    await using project = new Project()
    const env = { BITCOIN_RPC_URL: undefined, BSV_HOME: join(project.dir, 'none'), PIP_INDEX_URL: 'http://127.0.0.1:9', PIP_FIND_LINKS: '' }
    const program = project.run('npm', ['run', '--silent', 'example', '--', 'wire-transfer'], { cwd: REPOSITORY, env })
    expect(await program.ended()).toBe(1)
    expect(program.err).toMatch(
      /^This example needs a Bitcoin node on regtest, and .+\. To use a node of your own, set BITCOIN_RPC_URL=\S+\n$/,
    )
  })

  it('names the examples when there is none of that name, and each has all that it needs', async () => {
    await using project = new Project()
    const program = project.run('npm', ['run', '--silent', 'example', '--', 'nothing'], { cwd: REPOSITORY })
    expect(await program.ended()).toBe(2)
    const names = [...program.err.matchAll(/npm run example -- (\S+) +\S/g)].map(([, name]) => name!)
    expect(names).toHaveLength(13)
    const docs = readFileSync(join(REPOSITORY, 'docs/bitcoin.md'), 'utf8')
    for (const name of names) {
      expect(existsSync(join(REPOSITORY, 'examples', name, 'story.ts')), name).toBe(true)
      expect(docs).toContain(`\`${name}\``)
      expect(readFileSync(join(REPOSITORY, 'examples', name, 'README.md'), 'utf8')).toContain(
        name === 'multiplayer' ? 'npm run example' : `npm run example -- ${name}`,
      )
    }
  })
})
