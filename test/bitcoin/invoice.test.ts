import { describe, expect, it } from 'vitest'
import type { InvoiceStatus } from '../../shared/machine/invoices.ts'
import { BitcoinMachine, bitcoinOf } from './machine.ts'
import type { UsersNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

const WAIT = { timeout: 20_000 }
const AMOUNT = 2_000

describe('an invoice whose address is sent to by a wallet that knows nothing of invoices', () => {
  const node = nodeOr()

  it('is paid as soon as the network has the transaction: its page and the handler say so, and later that it is mined', async () => {
    await using machine = await shop(node())
    const invoice = await ask(machine, { data: { order: 7 } })
    const page = async (part = '') => (await fetch(`${invoice.url}${part}`, { headers: { accept: 'text/html' } })).text()
    expect(await page()).toContain('This page notices it')
    const txid = await sends(node(), invoice)
    await expect.poll(() => payments(machine), WAIT).toEqual([`${txid} mempool paid seen`])
    const heard = () => machine.events.flatMap((event) => (event.kind === 'tx' && event.invoice ? [event.invoice] : []))
    await expect.poll(heard, WAIT).toEqual([{ id: invoice.id, state: 'paid', received: AMOUNT, data: { order: 7 } }])
    expect(await shown(machine, invoice)).toMatchObject({ state: 'paid', received: AMOUNT, payment: { txid, seq: 0, status: 'seen' } })
    expect(JSON.parse(await page('/state'))).toMatchObject({ state: 'paid' })
    expect(await page()).toContain('data-state="paid"')
    await node().generate(1)
    await expect.poll(() => payments(machine), WAIT).toEqual([`${txid} mempool paid mined`])
    expect(await machine.statuses('shop', txid)).toEqual(['mined'])
    expect(await shown(machine, invoice)).toMatchObject({ payment: { status: 'mined' } })
  })

  it('has every payment under its usual state: too little, once more, late, cancelled', async () => {
    await using machine = await shop(node())
    const [twice, short, late, cancelled] = [
      await ask(machine),
      await ask(machine),
      await ask(machine, { expiresIn: 1 }),
      await ask(machine),
    ]
    await machine.pools.invoice.cancel({ path: 'shop', id: cancelled.id })
    await expect.poll(() => shown(machine, late), WAIT).toMatchObject({ state: 'expired' })
    const sent = [
      `${await sends(node(), twice)} paid`,
      `${await sends(node(), short, AMOUNT - 500)} underpaid`,
      `${await sends(node(), late)} late`,
      `${await sends(node(), cancelled)} cancelled`,
    ]
    const states = async () => (await payments(machine)).map((line) => line.replace(/ mempool (\w+) seen/, ' $1')).sort()
    await expect.poll(states, WAIT).toEqual(sent.toSorted())
    const again = await sends(node(), twice)
    await expect.poll(states, WAIT).toEqual([...sent, `${again} second`].sort())
    expect(await shown(machine, twice)).toMatchObject({ state: 'paid', received: 2 * AMOUNT })
    await node().generate(1)
    await follows(machine, node())
    expect(await payments(machine)).toHaveLength(5)
  })

  it('is paid by what was sent, and mined in many blocks, while the machine was not there', async () => {
    await using machine = await shop(node())
    const [mined, waiting] = [await ask(machine), await ask(machine)]
    await machine.stop()
    const before = await sends(node(), mined)
    await node().generate(20)
    const after = await sends(node(), waiting)
    await open(machine, node())
    await expect
      .poll(async () => (await payments(machine)).sort(), WAIT)
      .toEqual([`${before} chain paid mined`, `${after} mempool paid seen`].sort())
    await machine.stop()
    await open(machine, node())
    await node().generate(1)
    await follows(machine, node())
    await expect
      .poll(async () => (await payments(machine)).sort(), WAIT)
      .toEqual([`${before} chain paid mined`, `${after} mempool paid mined`].sort())
  })

  it('has one entry of a transaction that a wallet has posted and broadcast, whichever comes first', async () => {
    await using machine = await shop(node())
    const [posted, sent] = [await ask(machine), await ask(machine)]
    const first = await signedFor(node(), posted)
    expect((await post(posted, first.hex)).status).toBe(200)
    await node().rpc('sendrawtransaction', first.hex)
    const second = await signedFor(node(), sent)
    await node().rpc('sendrawtransaction', second.hex)
    await expect.poll(() => shown(machine, sent), WAIT).toMatchObject({ state: 'paid' })
    expect((await post(sent, second.hex)).status).toBe(200)
    await node().generate(1)
    await expect.poll(() => payments(machine), WAIT).toEqual([`${first.txid} http paid mined`, `${second.txid} mempool paid mined`])
  })

  it('stays paid by one entry when its block is taken back, and is mined again', async () => {
    await using machine = await shop(node())
    const invoice = await ask(machine)
    const txid = await sends(node(), invoice)
    const [block] = await node().generate(1)
    await expect.poll(() => payments(machine), WAIT).toEqual([expect.stringMatching(`${txid} (mempool|chain) paid mined`)])
    await node().rpc('invalidateblock', block)
    await node().generate(2) // only a longer chain takes a block back
    await expect.poll(() => machine.statuses('shop', txid), WAIT).toEqual(['mined', 'seen', 'mined'])
    expect(await payments(machine)).toEqual([expect.stringMatching(`${txid} (mempool|chain) paid mined`)])
  })

  it('is not looked for at an address of its own, which others may be asked for, too; its page says so', async () => {
    await using machine = await shop(node())
    const address = await node().rpc<string>('getnewaddress')
    const invoice = await machine.pools.invoice({ path: 'shop', outputs: [{ amount: AMOUNT, address }] })
    expect(await (await fetch(invoice.url, { headers: { accept: 'text/html' } })).text()).toContain('This page does not notice it')
    await sends(node(), invoice)
    await node().generate(1)
    await follows(machine, node())
    expect(await payments(machine)).toEqual([])
  })
})

/** A machine with a pool whose door is open, and that follows the chain. */
async function shop(node: UsersNode): Promise<BitcoinMachine> {
  const machine = new BitcoinMachine()
  await open(machine, node)
  return machine
}

async function open(machine: BitcoinMachine, node: UsersNode): Promise<void> {
  await machine.start(bitcoinOf(node, { broadcast: [] }))
  await machine.machine.create('shop')
  await machine.machine.listen(['shop'], 0, '127.0.0.1')
  await follows(machine, node)
}

function ask(machine: BitcoinMachine, more: object = {}): Promise<InvoiceStatus> {
  return machine.pools.invoice({ path: 'shop', amount: AMOUNT, ...more })
}

function shown(machine: BitcoinMachine, { id }: InvoiceStatus): Promise<InvoiceStatus> {
  return machine.pools.invoice.get({ path: 'shop', id })
}

/** The node's own wallet pays to the address of an invoice. @returns the txid */
function sends(node: UsersNode, invoice: InvoiceStatus, satoshis = AMOUNT): Promise<string> {
  return node.rpc<string>('sendtoaddress', addressOf(invoice), satoshis / 100_000_000)
}

/** The same, signed and not sent. */
async function signedFor(node: UsersNode, invoice: InvoiceStatus): Promise<{ hex: string; txid: string }> {
  const bare = await node.rpc<string>('createrawtransaction', [], { [addressOf(invoice)]: AMOUNT / 100_000_000 })
  const { hex: funded } = await node.rpc<{ hex: string }>('fundrawtransaction', bare)
  const { hex } = await node.rpc<{ hex: string }>('signrawtransaction', funded)
  const { txid } = await node.rpc<{ txid: string }>('decoderawtransaction', hex)
  return { hex, txid }
}

function addressOf({ outputs }: InvoiceStatus): string {
  return outputs[0]!.address!
}

function post({ url }: InvoiceStatus, transaction: string): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ transaction }) })
}

/** Resolves when the machine has read the node's newest block. */
async function follows(machine: BitcoinMachine, node: UsersNode): Promise<void> {
  const tip = await node.rpc<string>('getbestblockhash')
  const newest = async () => (await machine.pools.tail({ path: '_chain', kinds: ['block'], size: 1 }).catch(() => []))[0]?.hash
  await expect.poll(newest, WAIT).toBe(tip)
}

async function payments(machine: BitcoinMachine): Promise<string[]> {
  const events = await machine.pools.tail({ path: 'shop', size: 100 })
  return events.map(({ hash, source, invoice, status }) => `${hash} ${source} ${invoice?.state} ${status}`)
}
