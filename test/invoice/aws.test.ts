import { HD } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { CloudMachine } from '../machine/cloud.ts'
import { until } from '../machine/machine.ts'
import { paying } from './pay.ts'

const XPUB = HD.fromSeed([...Buffer.alloc(32, 3)])
  .toPublic()
  .toString()

interface Asked {
  outputs: { amount: number; script: string }[]
  merchantData: string
  paymentUrl: string
}

const asked = async (machine: CloudMachine, path: string) =>
  (await (await machine.ask(path, { accept: 'application/json' })).json()) as Asked
const paid = ({ outputs }: Asked) => paying(outputs.map(({ amount: satoshis, script }) => ({ satoshis, script })))

describe('a pool that asks, on AWS', () => {
  it('has fifty wallets pay one request at once: one pays, the others are told so, and the ledger says the same', async () => {
    await using machine = await CloudMachine.open({ coffee: { request: { amount: 500, data: { order: 1 } } } }, { receive: XPUB })
    const request = await asked(machine, '/coffee')
    const payments = Array.from({ length: 50 }, () => paid(request).toString('hex'))
    const answers = await Promise.all(
      payments.map((transaction) => machine.post('coffee', { transaction, merchantData: request.merchantData })),
    )
    expect(answers.filter(({ body }) => body.memo === 'Paid. Thank you.')).toHaveLength(1)
    const events = await until(
      () => machine.call('read', { path: 'coffee' }),
      ({ length }) => length === 50,
    )
    const winner = payments[answers.findIndex(({ body }) => body.memo === 'Paid. Thank you.')]
    const states = events.map(({ invoice, payment }) => [invoice!.state, payment.transaction === winner])
    expect(states.filter(([state]) => state === 'paid')).toEqual([['paid', true]])
    expect(states.filter(([state]) => state === 'second')).toHaveLength(49)
    expect(events[0]!.invoice!.data).toEqual({ order: 1 })
  })

  it('takes one more request to AWS for each payment at the door, and none where nothing is asked', async () => {
    await using machine = await CloudMachine.open({ coffee: { request: { amount: 500 } }, plain: {} }, { receive: XPUB })
    const request = await asked(machine, '/coffee')
    const count = async (pool: string, payment: object) => {
      let calls = 0
      machine.proxy.listen = ({ operation, input }) => {
        if (operation === 'SendMessageBatch') calls++
        if (operation === 'UpdateItem' && String(input.Key.pk.S).startsWith('invoice#')) calls++
      }
      await machine.post(pool, payment)
      machine.proxy.listen = () => {}
      return calls
    }
    expect(await count('plain', { transaction: paid(request).toString('hex'), merchantData: 'order 7' })).toBe(1)
    expect(await count('coffee', { transaction: paid(request).toString('hex'), merchantData: request.merchantData })).toBeLessThanOrEqual(3) // the writer may be as quick
  })
})
