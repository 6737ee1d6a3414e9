import { expect, it } from 'vitest'
import { parallel } from '../../shared/aws.ts'
import { badDay } from '../aws/weather.ts'
import { payment, TestMachine, until } from '../machine/machine.ts'
import { seed } from '../random.ts'

const PAYMENTS = 80
const STEPS = 3

it('keeps its promises on a day when a quarter of all requests to AWS goes wrong', { timeout: 300_000 }, async () => {
  console.log(`a bad day at AWS, seed ${seed}`)
  await using machine = await TestMachine.start(
    { a: {}, b: {} },
    { side: 'aws', parts: { ingressVisibilityMs: 3_000, bellVisibilityMs: 5_000 } }, // a message whose answer is lost comes again after this time
  )
  machine.emulators.proxy.weather = badDay
  const post = async (number: number) => {
    const wish = number % 10 ? undefined : { loop: { pool: 'b', left: STEPS, text: `loop ${number}` } }
    const ack = await until(
      () => machine.post('a', payment(`payment ${number}`, wish)),
      ({ status }) => status !== 503, // a wallet tries again
    )
    expect(ack.status).toBe(200)
  }
  const numbers = Array.from({ length: PAYMENTS }, (_, number) => number)
  await parallel(numbers, 8, post)
  const steps = (PAYMENTS / 10) * STEPS
  await until(
    () => [new Set(machine.ended('a')).size, new Set(machine.ended('b')).size],
    ([a, b]) => a! >= PAYMENTS && b! >= steps,
    240_000,
  )
  await parallel(numbers, 8, post) // wallets that have not heard
  await until(
    () => machine.call('ingress'),
    ({ waiting, inFlight }) => waiting + inFlight === 0,
    60_000,
  )
  machine.emulators.proxy.weather = () => undefined
  await machine.stop()

  for (const [pool, entries] of [
    ['a', PAYMENTS],
    ['b', steps],
  ] as const) {
    expect(await machine.verify(pool)).toMatchObject({ entries, receipts: entries, problems: 0 })
    const ended = machine.ended(pool)
    expect([...new Set(ended)], 'the handler ran for each, in order').toEqual(Array.from({ length: entries }, (_, seq) => seq))
  }
})
