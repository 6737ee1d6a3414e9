import { createHmac } from 'node:crypto'
import { P2PKH, Transaction } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import type { BitcoinSettings } from '../../shared/config/bitcoin.ts'
import type { LedgerEvent } from '../../shared/ledger/event.ts'
import type { AnyFunctions } from '../../shared/machine/handlers.ts'
import { Bill } from '../aws/bill.ts'
import { CALLBACKS, CloudMachine } from '../machine/cloud.ts'
import { coin, freshScript, key, manySigned, signed } from './machine.ts'
import type { UsersNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

// A machine in its AWS shape: emulators in memory, the sidecars as processes, the functions in this process; and a real node beside them.

const PATIENT = { timeout: 60_000 }
const SECRETS = (node: UsersNode) => ({ 'node-password': node.password })

/** The settings of a machine on AWS, whose password of the node is in Secrets Manager. */
function bitcoinOf(node: UsersNode, more: Partial<BitcoinSettings> = {}): BitcoinSettings {
  const place = { node: node.url, user: node.user, password: { secret: 'node-password' } }
  return { network: 'regtest', broadcast: [place], chain: [place], ...more }
}

/** A handler that notes all that it gets. */
function notes(more: AnyFunctions = {}): { events: LedgerEvent[]; functions: AnyFunctions } {
  const events: LedgerEvent[] = []
  const note = (event: LedgerEvent) => void events.push(event)
  return { events, functions: { tx: note, status: note, block: note, reorg: note, ...more } }
}

function statusesOf(events: LedgerEvent[], path: string, txid: string): string[] {
  return events.flatMap((event) => (event.kind === 'status' && event.path === path && event.of.txid === txid ? [event.status] : []))
}

/** The block that a new block of the node is. */
async function mined(node: UsersNode): Promise<string> {
  await node.generate(1)
  return node.rpc<string>('getbestblockhash')
}

/** The most units that a payment, its request to be broadcast and its three statuses cost. The rest is once a block or a bell, and falls with the load. */
const MOST = {
  'SendMessageBatch ingress-0': 3.1, // the payment, the request, "sent"; the sidecar writes "seen" and "mined" itself
  'BatchWriteItem receipt': 5.2, // one for each entry
  'UpdateItem status': 3.1,
  'BatchWriteItem status': 3.1, // open, in a block, no longer open
  'BatchGetItem status': 13,
  'BatchGetItem receipt': 5.2,
  'Query receipt': 3.1,
  'GetItem control': 2.2,
}

describe('a machine in its AWS shape', { timeout: 180_000 }, () => {
  const node = nodeOr()

  it('sends a payment to the network, sees it there and, after a block, finds it mined with a proof; its handler hears of each', async () => {
    const { events, functions } = notes()
    await using machine = await CloudMachine.open(
      { shop: { commit: 'always' } },
      { bitcoin: bitcoinOf(node()), functions, secrets: SECRETS(node()) },
    )
    const tx = await signed(node())
    const txid = tx.id('hex')
    expect((await machine.post('shop', { transaction: tx.toHex() })).status).toBe(200)
    await expect.poll(() => statusesOf(events, 'shop', txid), PATIENT).toContain('seen')
    expect(await node().rpc('getrawmempool')).toContain(txid)
    const blockHash = await mined(node())
    await expect.poll(() => statusesOf(events, 'shop', txid), PATIENT).toEqual(['sent', 'seen', 'mined'])
    expect(await machine.pools.get({ path: 'shop', hash: txid })).toMatchObject({ status: 'mined', blockHash, proven: true })
    expect(await machine.stores.statuses.open('shop')).toEqual([])
    const lines = await machine.call('reports')
    expect(lines.filter((line) => line.includes(node().password) || line.includes(CALLBACKS))).toEqual([])
  })

  it('has entries from the chain in the pools that ask for them, each pool at its shard; what a handler broadcasts is among them', async () => {
    const script = freshScript()
    const seen = freshScript()
    const grid = { chain: { filter: { scripts: [script.toHex()] } } }
    const { events, functions } = notes({
      async tx(event, pools) {
        events.push(event)
        if (event.path === 'shop' && event.source === 'http') await pools.broadcast(event)
      },
    })
    await using machine = await CloudMachine.open(
      { shop: { watch: { scripts: [seen.toHex()] } }, other: {}, memo: { grid }, more: { grid } },
      { shards: 2, bitcoin: bitcoinOf(node()), functions, secrets: SECRETS(node()) },
    )
    // A payment that only the chain knows, and one that the shop's handler broadcasts.
    await expect.poll(async () => (await machine.call('control', '_chain'))?.kind, PATIENT).toBe('chain')
    await expect.poll(async () => (await machine.call('control', '_chain-1'))?.kind, PATIENT).toBe('chain')
    const { txid: watched } = await node().fund(seen.toHex(), 5_000)
    const { transaction, vout } = await coin(node())
    const tx = new Transaction()
    tx.addInput({ sourceTransaction: transaction, sourceOutputIndex: vout, unlockingScriptTemplate: new P2PKH().unlock(key) })
    tx.addOutput({ lockingScript: script, satoshis: 1_000 })
    await tx.sign()
    const txid = tx.id('hex')
    expect((await machine.post('shop', { transaction: tx.toHex() })).status).toBe(200)
    const from = (path: string, hash: string) =>
      events.flatMap((event) => (event.kind === 'tx' && event.path === path && event.hash === hash ? [event.source] : []))
    await expect.poll(() => [from('memo', txid), from('more', txid)], PATIENT).toEqual([['mempool'], ['mempool']])
    await expect.poll(() => from('shop', watched), PATIENT).toEqual(['mempool'])
    const hash = await mined(node())
    for (const path of ['memo', 'more']) {
      await expect.poll(() => statusesOf(events, path, txid), PATIENT).toEqual(['mined'])
      await expect
        .poll(() => events.flatMap((event) => (event.kind === 'block' && event.path === path ? [event.hash] : [])), PATIENT)
        .toContain(hash)
    }
    await expect.poll(() => statusesOf(events, 'shop', txid), PATIENT).toEqual(['sent', 'seen', 'mined'])
    await expect.poll(() => statusesOf(events, 'shop', watched), PATIENT).toEqual(['mined'])
  })

  it('finds what was mined while its sidecar was away, and records each status once', async () => {
    const { events, functions } = notes()
    await using machine = await CloudMachine.open(
      { shop: { commit: 'always' } },
      { bitcoin: bitcoinOf(node()), functions, secrets: SECRETS(node()), leaseMs: 2_000 },
    )
    const transactions = await manySigned(node(), 10)
    const txids = transactions.map((tx) => tx.id('hex'))
    const post = (some: Transaction[]) => Promise.all(some.map((tx) => machine.post('shop', { transaction: tx.toHex() })))
    await post(transactions.slice(0, 5))
    await expect.poll(() => txids.slice(0, 5).filter((txid) => statusesOf(events, 'shop', txid).includes('sent')).length, PATIENT).toBe(5)
    await machine.kill()
    await post(transactions.slice(5)) // they wait in the queue
    const blockHash = await mined(node())
    await machine.start()
    await expect
      .poll(() => txids.slice(0, 5).map((txid) => statusesOf(events, 'shop', txid).at(-1)), PATIENT)
      .toEqual(new Array(5).fill('mined'))
    await expect.poll(() => txids.slice(5).filter((txid) => statusesOf(events, 'shop', txid).includes('seen')).length, PATIENT).toBe(5)
    const next = await mined(node())
    await expect.poll(() => txids.filter((txid) => statusesOf(events, 'shop', txid).at(-1) === 'mined').length, PATIENT).toBe(10)
    for (const [i, hash] of txids.entries()) {
      expect(await machine.pools.get({ path: 'shop', hash })).toMatchObject({ blockHash: i < 5 ? blockHash : next, proven: true })
      const said: string[] = []
      for await (const event of machine.pools.read({ path: 'shop', kinds: ['status'] })) if (event.of.txid === hash) said.push(event.status)
      expect(
        said.filter((status, at) => said.indexOf(status) !== at),
        hash,
      ).toEqual([])
    }
    await machine.stop()
    expect(await machine.verify('shop')).toMatchObject({ problems: 0 })
  })

  it('believes a callback that has the token of its transaction, and no other', async () => {
    const { events, functions } = notes()
    // Without a chain nothing is proven: it believes those that it broadcasts by.
    await using machine = await CloudMachine.open(
      { shop: { commit: 'always' } },
      { bitcoin: bitcoinOf(node(), { chain: [] }), functions, secrets: SECRETS(node()) },
    )
    const tx = await signed(node())
    const txid = tx.id('hex')
    await machine.post('shop', { transaction: tx.toHex() })
    await expect.poll(() => statusesOf(events, 'shop', txid), PATIENT).toContain('sent')
    const says = JSON.stringify({ txid, txStatus: 'MINED', blockHash: 'ab'.repeat(32), blockHeight: 7, timestamp: '2026-01-01T00:00:00Z' })
    const call = async (token: string) => (await machine.request('/_/arc', says, { authorization: `Bearer ${token}` })).status
    expect(await call('forged')).toBe(401)
    expect(await call(createHmac('sha256', CALLBACKS).update(txid).digest('base64url'))).toBe(200)
    await expect.poll(() => statusesOf(events, 'shop', txid).at(-1), PATIENT).toBe('mined')
    expect(await machine.pools.get({ path: 'shop', hash: txid })).toMatchObject({ status: 'mined', by: expect.stringMatching(/^node /) })
  })

  it('sends no more requests to AWS for a commit and its statuses than it needs', async () => {
    const count = 100
    const { events, functions } = notes()
    await using machine = await CloudMachine.open(
      { shop: { commit: 'always' } },
      { bitcoin: bitcoinOf(node()), functions, secrets: SECRETS(node()) },
    )
    const transactions = await manySigned(node(), count)
    // The machine's own pool begins with many blocks, once for all: these are not counted.
    const beginning = async () => {
      const { blocks } = await machine.pools.size('_chain').catch(() => ({ blocks: 0 }))
      return blocks > 0 && (await machine.stores.control.read('_chain'))?.checkpoint === blocks
    }
    await expect.poll(beginning, PATIENT).toBe(true)
    const bill = new Bill()
    machine.proxy.listen = (call) => bill.add(call)
    await Promise.all(transactions.map((tx) => machine.post('shop', { transaction: tx.toHex() })))
    const all = (status: string) => events.filter((event) => event.kind === 'status' && event.status === status).length
    await expect.poll(() => all('seen'), PATIENT).toBe(count)
    await node().generate(1)
    await expect.poll(() => all('mined'), PATIENT).toBe(count)
    machine.proxy.listen = () => {}
    console.log(`${count} commits\n\n${bill.table(count)}`)
    for (const [what, ceiling] of Object.entries(MOST)) expect(bill.line(what).units / count, what).toBeLessThanOrEqual(ceiling)
    expect(bill.perMillion(count)).toBeLessThan(20)
  })
})
