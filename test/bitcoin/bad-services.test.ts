import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { Transaction } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import type { BitcoinSettings } from '../../shared/config/bitcoin.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { ArcOverNode, type Asked, type Distorted } from './arc.ts'
import { BitcoinMachine, bitcoinOf, signed } from './machine.ts'
import { nodeOr } from './node-or-skip.ts'

const WAIT = { timeout: 20_000 }
const LONG = { timeout: 100_000 }
const HASH = 'ab'.repeat(32)

describe('a service that answers badly', () => {
  const node = nodeOr()

  /** A machine that reads no chain: services are all that it has. */
  const without = (broadcast: BitcoinSettings['broadcast']) => bitcoinOf(node(), { broadcast, chain: [] })

  /** Commits a transaction; its statuses. */
  async function commits(machine: BitcoinMachine, tx?: Transaction): Promise<{ txid: string; said: () => Promise<string[]> }> {
    await machine.machine.create('shop', { commit: 'always' })
    const sent = tx ?? (await signed(node()))
    await machine.pools.post({ path: 'shop', payment: sent })
    const txid = sent.id('hex')
    return { txid, said: () => machine.statuses('shop', txid) }
  }

  const newest = async (machine: BitcoinMachine, hash: string): Promise<TxEvent> => machine.pools.get({ path: 'shop', hash })

  const USELESS: [string, Distorted][] = [
    ['goes away', (response) => void response.destroy()],
    ['fails', 500],
    ['asks to come back', (response) => void response.writeHead(503, { 'retry-after': '3600' }).end()],
    ['redirects', (response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/v1/tx' }).end()],
    ['refuses the key', 401],
    ['answers about another transaction', { txid: HASH, txStatus: 'SEEN_ON_NETWORK' }],
    ['answers with no JSON', (response) => void response.writeHead(200).end('<html>')],
    ['answers with a list', [{ txStatus: 'MINED' }]],
    ['answers with more than anybody reads', (response) => void response.writeHead(200).end(Buffer.alloc(9 * 1024 * 1024, ' '))],
    ['breaks off', (response) => void response.writeHead(200, { 'content-length': '100' }).write('{"txid"')],
    ['REJECTED without a cause', { txStatus: 'REJECTED' }],
    ['does not know it', { txStatus: 'UNKNOWN' }],
  ]

  it('is passed over for the next one when it is of no use, whatever it does', async () => {
    const services: ArcOverNode[] = []
    await using _ = { [Symbol.asyncDispose]: async () => void (await Promise.all(services.map((one) => one[Symbol.asyncDispose]()))) }
    for (const [, distorted] of USELESS) services.push(await ArcOverNode.over(node(), breakOff(distorted)))
    const good = await ArcOverNode.over(node())
    services.push(good)
    await using machine = await BitcoinMachine.start(without(services.map(({ url }) => ({ arc: url }))))
    const { txid, said } = await commits(machine)
    await expect.poll(said, LONG).toEqual(['seen'])
    for (const [i, [how]] of USELESS.entries()) expect(services[i]!.count('send', txid), how).toBe(1)
    await expect.poll(async () => (await newest(machine, txid)).by, WAIT).toBe(`arc ${new URL(good.url).host}`)
  }, 120_000)

  it('is asked again and again when it is the only one, until it takes the transaction', async () => {
    const bad = USELESS.slice(0, 6).map(([, distorted]) => distorted)
    await using arc = await ArcOverNode.over(node(), ({ how, before }) => (how === 'send' ? bad[before] : undefined))
    await using machine = await BitcoinMachine.start(without([{ arc: arc.url }]))
    const { txid, said } = await commits(machine)
    await expect.poll(said, LONG).toContain('seen')
    expect(arc.count('send', txid)).toBe(7)
    await node().generate(1)
    await expect.poll(said, LONG).toEqual(['seen', 'mined'])
  }, 220_000)

  it('hears nothing from it for ever, and asks the next one', async () => {
    await using stuck = await ArcOverNode.over(node(), ({ how }) => (how === 'ask' ? { txStatus: 'ANNOUNCED_TO_NETWORK' } : undefined))
    await using machine = await BitcoinMachine.start(without([{ arc: stuck.url }, bitcoinOf(node()).broadcast![0]!]))
    const { said } = await commits(machine)
    await expect.poll(said, WAIT).toEqual(['seen'])
    await node().generate(1)
    await expect.poll(said, LONG).toEqual(['seen', 'mined'])
  }, 120_000)

  describe('in a sequence that was seen in the field', () => {
    interface Sequence {
      source: string
      events?: { txStatus: string; extraInfo?: string }[]
      answer?: object
      frames?: string[]
    }
    const all: Sequence[] = JSON.parse(readFileSync(new URL('../data/field/status-sequences.json', import.meta.url), 'utf8'))
    const find = (source: string) => all.find((one) => one.source.includes(source))!

    interface Case {
      /** what it answers; `undefined`: the truth */
      says: (asked: Asked) => Distorted
      /** the statuses before the transaction is mined, of a machine without a chain and of one with it */
      before: [string[], string[]]
      /** after that, if no truth is told any more */
      after?: [string[], string[]]
    }
    const inBlock = (byte: string) => ({ txStatus: 'MINED', blockHash: byte.repeat(32), blockHeight: 870_123 })
    const reanchor = find('arcade models/transaction.go').events!
    const rejected = find('arcade docs/teranode').events!
    const CASES: Record<string, Case> = {
      'bitcoin-sv/arc#900': {
        says: ({ how, before }) => (how === 'send' || before < 2 ? { ...find('arc#900').answer, txid: undefined } : undefined),
        before: [['double-spent'], ['double-spent']],
        after: [
          ['double-spent', 'mined'],
          ['double-spent', 'mined'],
        ],
      },
      'bitcoin-sv/arc#840': {
        says: ({ how, before }) => (how === 'send' || before > 5 ? undefined : before < 2 ? { txStatus: 'SEEN_ON_NETWORK' } : 404),
        before: [['seen'], ['seen']],
      },
      'bitcoin-sv/arc#779': {
        says: ({ how }) => (how === 'send' ? { ...inBlock('cd'), merklePath: 'fe2b7c0d0000' } : undefined),
        before: [['mined'], []],
        after: [['mined', 'mined'], ['mined']],
      },
      'py-sdk#157': {
        says: ({ how, before }) => (how === 'send' || before < 1 ? { txStatus: 'SEEN_IN_ORPHAN_MEMPOOL' } : undefined),
        before: [['sent'], ['sent']],
        after: [
          ['sent', 'mined'],
          ['sent', 'mined'],
        ],
      },
      'arcade docs/teranode-error-surfacing.md, D2': {
        says: ({ how, before }) => (how === 'send' ? undefined : before < 2 ? rejected[1] : undefined),
        before: [['seen'], ['seen']],
      },
      'go-wallet-toolbox#997': {
        says: ({ how, before }) =>
          how === 'send' ? (before ? undefined : { txStatus: 'SENT_TO_NETWORK' }) : before < 2 ? { txStatus: 'REJECTED' } : undefined,
        before: [['sent', 'seen'], ['sent']],
        after: [
          ['sent', 'seen', 'mined'],
          ['sent', 'mined'],
        ],
      },
      'arcade models/transaction.go': {
        says: ({ how, before }) => {
          const n = how === 'send' ? 0 : before + 1
          const [, second, third] = reanchor
          return n === 0 ? inBlock('aa') : n === 1 ? { ...inBlock('bb'), extraInfo: second!.extraInfo } : n === 2 ? third : undefined
        },
        before: [['mined', 'mined', 'seen'], []],
        after: [['mined', 'mined', 'seen', 'mined'], ['mined']],
      },
      'go-wallet-toolbox#1017': {
        says: ({ how }) => (how === 'send' ? { ...inBlock('ce'), merklePath: '' } : undefined),
        before: [['mined'], []],
        after: [['mined', 'mined'], ['mined']],
      },
    }

    it.each(Object.entries(CASES).flatMap(([name, one]) => [false, true].map((hasChain) => ({ name, hasChain, ...one }))))(
      '$name, with a chain: $hasChain',
      async ({ name, hasChain, says, before, after }) => {
        expect(find(name)).toBeDefined()
        const i = hasChain ? 1 : 0
        await using arc = await ArcOverNode.over(node(), says)
        const settings = hasChain ? bitcoinOf(node(), { broadcast: [{ arc: arc.url }] }) : without([{ arc: arc.url }])
        await using machine = await BitcoinMachine.start(settings)
        const tx = await signed(node())
        const { txid, said } = await commits(machine, tx)
        await expect.poll(said, LONG).toEqual(before[i])
        await expect.poll(() => arc.count('send', txid), WAIT).toBeGreaterThan(0)
        if (!(await node().rpc<string[]>('getrawmempool')).includes(txid)) await node().rpc('sendrawtransaction', tx.toHex())
        if (hasChain && before[1].length === 0) await expect.poll(said, WAIT).toEqual(['seen'])
        await node().generate(1)
        const end = after?.[i] ?? [...before[i]!, 'mined']
        await expect.poll(async () => (await said()).at(-1), LONG).toBe('mined')
        // The network may see it in between, which the chain says or not.
        await expect.poll(async () => (await said()).filter((one) => one !== 'seen'), LONG).toEqual(end.filter((one) => one !== 'seen'))
        if (hasChain) expect(await newest(machine, txid)).toMatchObject({ status: 'mined', proven: true, blockHash: await blockOf(txid) })
        else expect(await newest(machine, txid)).toMatchObject({ status: 'mined', blockHash: await blockOf(txid) })
      },
      240_000,
    )
  })

  it('has a transaction with a lock time kept until then: it is not rejected, and goes out by itself', async () => {
    await using arc = await ArcOverNode.over(node(), ({ how, before }) =>
      how === 'send' && before < 2 ? { status: 476, title: 'not final', txStatus: '' } : undefined,
    )
    await using machine = await BitcoinMachine.start(without([{ arc: arc.url }]))
    const inTime = await locked(Math.floor(Date.now() / 1_000) + 6)
    const { txid, said } = await commits(machine, inTime)
    await expect.poll(said, WAIT).toEqual(['local'])
    expect(arc.count('send', txid), 'sent before its time').toBe(0)
    await expect.poll(async () => (await said()).at(-1), LONG).toMatch(/^(sent|seen)$/)
    await node().generate(12) // for the network, the time is the median of the newest blocks
    await expect.poll(async () => (await said()).at(-1), LONG).toMatch(/^(seen|mined)$/)
    const height = await node().rpc<number>('getblockcount')
    const atHeight = await commits(machine, await locked(height + 1))
    await expect.poll(atHeight.said, WAIT).toEqual(['local'])
    await node().generate(2)
    await expect.poll(async () => (await atHeight.said()).at(-1), LONG).toMatch(/^(seen|mined)$/)
  }, 240_000)

  it('says by its event stream what becomes of a transaction, and is asked for all when events are lost', async () => {
    const events: ((text: string) => void)[] = []
    await using arc = await ArcOverNode.over(node())
    await using arcade = await arcadeOver(arc, events)
    await using machine = await BitcoinMachine.start(without([{ arcade: arcade.url }]))
    const { txid, said } = await commits(machine)
    await expect.poll(said, WAIT).toEqual(['sent'])
    await expect.poll(() => events.length, WAIT).toBeGreaterThan(0)
    const tell = (text: string) => events.at(-1)!(text)
    tell(`: keepalive\n\nid: 1\nevent: status\ndata: ${JSON.stringify({ txid, txStatus: 'SEEN_ON_NETWORK' })}\n\n`)
    await expect.poll(said, WAIT).toEqual(['sent', 'seen'])
    await node().generate(1)
    tell('event: gap\ndata: {"reason":"catchup_truncated","from":"1","count":10000,"action":"reconcile"}\n\n')
    await expect.poll(said, WAIT).toEqual(['sent', 'seen', 'mined'])
    const other = await commits(machine)
    await expect.poll(other.said, WAIT).toEqual(['sent'])
    const reason = `UTXO_SPENT (70): … utxo already spent by tx ${HASH}[0]`
    const spent = { txid: other.txid, txStatus: 'REJECTED', status: 466, extraInfo: reason }
    for (const _ of [1, 2]) tell(`id: 3\ndata: ${JSON.stringify(spent)}\n\n`)
    await expect.poll(other.said, WAIT).toEqual(['sent', 'double-spent'])
    await expect.poll(() => newest(machine, other.txid), WAIT).toMatchObject({ status: 'double-spent', final: true, reason })
  }, 120_000)

  it.each([false, true])(
    'calls back: with the right token it is heard, forged and repeated calls change nothing (with a chain: %s)',
    async (hasChain) => {
      await using arc = await ArcOverNode.over(node(), ({ how }) => (how === 'send' ? { txStatus: 'RECEIVED' } : 404))
      const broadcast = [{ arc: arc.url }]
      const callbacks = 'https://pay.example'
      await using machine = await BitcoinMachine.start(bitcoinOf(node(), { broadcast, callbacks, ...(!hasChain && { chain: [] }) }))
      const tx = await signed(node())
      const { txid, said } = await commits(machine, tx)
      await expect.poll(said, WAIT).toEqual(['sent'])
      const { url } = await machine.machine.listen(['shop'], 0, '127.0.0.1')
      const { callback } = arc.asked.find((one) => one.how === 'send' && one.txid === txid)!
      expect(callback!.url).toBe('https://pay.example/_/arc')
      const calls = async (body: unknown, authorization: string) => {
        const headers = { authorization, 'content-type': 'application/json' }
        return (await fetch(`${url}/_/arc`, { method: 'POST', headers, body: JSON.stringify(body) })).status
      }
      const right = `Bearer ${callback!.token}`
      const seen = { txid, txStatus: 'SEEN_ON_NETWORK', timestamp: '2026-04-28T18:21:52Z' }
      for (const forged of ['Bearer nonsense', '', `Bearer ${callback!.token}x`, `Basic ${callback!.token}`])
        expect(await calls(seen, forged)).toBeGreaterThanOrEqual(400)
      const other = (await signed(node())).id('hex')
      expect(await calls({ ...seen, txid: other }, right), 'the token of another transaction').toBeGreaterThanOrEqual(400)
      for (const text of [{}, [], 7, { txid: 'abc' }, { callbacks: [] }]) expect(await calls(text, right)).toBeGreaterThanOrEqual(400)
      expect(await said()).toEqual(['sent'])
      for (const _ of [1, 2, 3]) expect(await calls(seen, right)).toBe(200)
      expect(await calls({ count: 2, callbacks: [seen, { ...seen, txid: other }] }, right)).toBe(200)
      await expect.poll(said, WAIT).toEqual(['sent', 'seen'])
      await node().rpc('sendrawtransaction', tx.toHex())

      // MINED in a block that does not exist, then in one with the proof of another transaction.
      const wrong = {
        txid,
        txStatus: 'MINED',
        blockHash: HASH,
        blockHeight: 7,
        merklePath: 'fe2b7c0d0000',
        timestamp: '2026-04-28T18:22:52Z',
      }
      if (hasChain) expect(await calls(wrong, right)).toBe(200)
      const [block] = await node().generate(1)
      const truth = { ...((await arc.truth(txid)) as object), timestamp: '2026-04-28T18:31:00Z' }
      for (const word of [truth, seen, truth]) expect(await calls(word, right)).toBe(200)
      await expect.poll(said, WAIT).toEqual(['sent', 'seen', 'mined'])
      await expect
        .poll(() => newest(machine, txid), WAIT)
        .toMatchObject({ status: 'mined', blockHash: block, ...(hasChain && { proven: true }) })
      if (hasChain)
        for (const lie of [wrong, { ...seen, txStatus: 'MINED_IN_STALE_BLOCK', timestamp: '2026-04-28T19:31:00Z' }])
          expect(await calls(lie, right)).toBe(200)
      await machine.pools.post({ path: 'shop', payment: await signed(node()) }) // what came before it has been heard
      await expect.poll(async () => (await machine.pools.tail({ path: 'shop', size: 10 })).length, WAIT).toBe(2)
      expect(await said()).toEqual(['sent', 'seen', 'mined'])
    },
  )

  /** A transaction that cannot be mined before a time (s since 1970) or height. */
  async function locked(lockTime: number): Promise<Transaction> {
    const tx = await signed(node())
    tx.lockTime = lockTime
    tx.inputs[0]!.sequence = 0
    await tx.sign()
    return tx
  }

  async function blockOf(txid: string): Promise<string> {
    return (await node().rpc<{ blockhash: string }>('getrawtransaction', txid, true)).blockhash
  }
})

/** Arcade's API over that of ARC, with an event stream that the test fills: `events` gets a function for each connection. */
async function arcadeOver(arc: ArcOverNode, events: ((text: string) => void)[]): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(async (request, response) => {
    if (request.url!.startsWith('/events')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(': hello\n\n')
      events.push((text) => void response.write(text))
      return
    }
    if (request.method === 'GET') {
      const said = await fetch(`${arc.url}/v1${request.url}`)
      response.writeHead(said.status, { 'content-type': 'application/json' }).end(await said.text())
      return
    }
    const rawTx = (await buffer(request)).toString('hex')
    const said = await fetch(`${arc.url}/v1/tx`, { method: 'POST', body: JSON.stringify({ rawTx }) })
    const { txid } = (await said.json()) as { txid: string }
    response.writeHead(202, { 'content-type': 'application/json' }).end(JSON.stringify({ txid, txStatus: 'RECEIVED' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await once(server.close(), 'close')
    },
  }
}

/** A connection that is begun and never ended is cut off after a while. */
function breakOff(distorted: Distorted): () => Distorted {
  if (typeof distorted !== 'function') return () => distorted
  return () => (response) => {
    distorted(response)
    setTimeout(() => response.destroy(), 500)
  }
}
