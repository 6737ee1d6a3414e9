import { expect, it } from 'vitest'
import { Bill } from './aws/bill.ts'
import { TestMachine, until } from './machine/machine.ts'

const PAYMENTS = 1_000
const WALLETS = 32
/** A payment to one with a change output has as many bytes: what the bench and the docs reckon with. */
const TRANSACTION_BYTES = 226
/** And an entry besides: its id, time and so on. */
const ENTRY_BYTES = 100

it(`asks no more of AWS for ${PAYMENTS} payments than it has to`, { timeout: 240_000 }, async () => {
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
  expect(blocks, 'ten or more in a block, under load').toBeLessThanOrEqual(PAYMENTS / 10)

  const most = Object.entries(mostFor(PAYMENTS, blocks)).map(([what, ceiling]) => ({ what, ceiling, billed: bill.line(what) }))
  for (const { what, ceiling, billed } of most) expect(billed.units, `${what}, at most ${ceiling}`).toBeLessThanOrEqual(ceiling)
  expect(
    bill.names().filter((name) => !most.some(({ what }) => what === name)),
    'nothing else is asked for',
  ).toEqual([])
  expect(bill.perMillion(PAYMENTS)).toBeLessThan(2)
})

/** Of what depends on time and not on payments: a wait that ends in vain, a look for a lost bell. */
const FEW = 10
/** A batch that is tried again on a busy machine. */
const AGAIN = 25

/** Each payment has a message, a look-up of its id and a receipt of its own. The rest is once a block, or goes by tens. */
function mostFor(payments: number, blocks: number): Record<string, number> {
  return {
    'SendMessageBatch ingress': payments + AGAIN,
    'ReceiveMessage ingress': payments / 4 + AGAIN,
    'DeleteMessageBatch ingress': payments / 10 + 2 * blocks,
    'BatchGetItem receipt': payments + AGAIN,
    'BatchWriteItem receipt': payments + AGAIN,
    'PutItem block': (payments * (TRANSACTION_BYTES + ENTRY_BYTES)) / 1024 + 2 * blocks,
    'PUT blocks': blocks, // those over 16 KiB
    'Query block': FEW, // for blocks of another writer; handlers read them in their bells
    'SendMessageBatch tx-main.fifo': blocks + FEW,
    'ReceiveMessage tx-main.fifo': blocks + FEW,
    'DeleteMessageBatch tx-main.fifo': blocks + FEW,
    'GetItem cursor': blocks + FEW,
    'UpdateItem cursor': blocks + FEW,
    'UpdateItem control': 60, // once a second at most
    'Query control': 2 * FEW, // once a second: what callers want of the network
  }
}

/** No inputs, one output, whose script holds the number. */
function transactionNumber(number: number): string {
  const script = Buffer.alloc(TRANSACTION_BYTES - 19, 0x6a)
  script.writeUInt32LE(number)
  const output = Buffer.concat([Buffer.alloc(8), Buffer.of(script.length), script])
  return Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 1), output, Buffer.alloc(4)]).toString('hex')
}
