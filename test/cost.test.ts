import { expect, it } from 'vitest'
import { Bill } from './aws/bill.ts'
import { TestMachine, until } from './machine/machine.ts'

const PAYMENTS = 1_000
const WALLETS = 32
/** The size of a payment to one output with a change output; the bench and the docs use the same size. */
const TRANSACTION_BYTES = 226
/** What an entry adds to its transaction: id, time and so on. */
const ENTRY_BYTES = 100

it(`sends no more requests to AWS for ${PAYMENTS} payments than it needs`, { timeout: 240_000 }, async () => {
  await using machine = await TestMachine.start({ mypool: {} }, { side: 'aws' })
  const bill = new Bill()
  machine.emulators.proxy.listen = (call) => bill.add(call)
  let next = 0
  const wallets = Array.from({ length: WALLETS }, async () => {
    while (next < PAYMENTS) expect((await machine.post('mypool', { transaction: transactionNumber(next++) })).status).toBe(200)
  })
  await Promise.all(wallets)
  await until(
    () => machine.ended('mypool'),
    (seqs) => seqs.length >= PAYMENTS,
    120_000,
  )
  await machine.stop()
  machine.emulators.proxy.listen = () => {}
  const { blocks, entries, problems } = await machine.verify('mypool')
  console.log(`${entries} payments in ${blocks} blocks\n\n${bill.table(PAYMENTS)}`)
  expect({ entries, problems }).toEqual({ entries: PAYMENTS, problems: 0 })
  expect(blocks, 'under load a block has ten entries or more').toBeLessThanOrEqual(PAYMENTS / 10)

  const most = Object.entries(mostFor(PAYMENTS, blocks)).map(([what, ceiling]) => ({ what, ceiling, billed: bill.line(what) }))
  for (const { what, ceiling, billed } of most) expect(billed.units, `${what}, at most ${ceiling}`).toBeLessThanOrEqual(ceiling)
  expect(
    bill.names().filter((name) => !most.some(({ what }) => what === name)),
    'there are no other requests',
  ).toEqual([])
  expect(bill.perMillion(PAYMENTS)).toBeLessThan(2)
})

/** Requests that depend on time and not on payments: a receive that gets nothing, a look for a lost bell. */
const FEW = 10
/** Requests that a busy machine repeats. */
const AGAIN = 25

/** The most units of each request. Each payment needs one message, one look-up of its id and one receipt. The rest is once a block, or in batches of ten. */
function mostFor(payments: number, blocks: number): Record<string, number> {
  return {
    'SendMessageBatch ingress': payments + AGAIN,
    'ReceiveMessage ingress': payments / 4 + AGAIN,
    'DeleteMessageBatch ingress': payments / 10 + 2 * blocks,
    'BatchGetItem receipt': payments + AGAIN,
    'BatchWriteItem receipt': payments + AGAIN,
    'PutItem block': (payments * (TRANSACTION_BYTES + ENTRY_BYTES)) / 1024 + 2 * blocks,
    'PUT blocks': blocks, // the blocks over 16 KiB
    'GET blocks': FEW, // a bell does not carry the largest blocks, which a busy machine makes
    'Query block': FEW, // the writer looks for blocks of another writer; handlers get theirs in their bells
    'SendMessageBatch tx-main.fifo': blocks + FEW,
    'ReceiveMessage tx-main.fifo': blocks + FEW,
    'DeleteMessageBatch tx-main.fifo': blocks + FEW,
    'GetItem cursor': blocks + FEW,
    'UpdateItem cursor': blocks + FEW,
    'UpdateItem control': 60, // once a second at most
    'Query control': 2 * FEW, // once a second: the desired state of the network
    'Query invoice': 60, // once a second: this is the embedded machine. A stack that asks for nothing does not look for invoices that have expired
  }
}

/** A transaction without inputs and with one output, whose script holds the number. */
function transactionNumber(number: number): string {
  const script = Buffer.alloc(TRANSACTION_BYTES - 19, 0x6a)
  script.writeUInt32LE(number)
  const output = Buffer.concat([Buffer.alloc(8), Buffer.of(script.length), script])
  return Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 1), output, Buffer.alloc(4)]).toString('hex')
}
