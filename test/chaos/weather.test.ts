import { expect, it } from 'vitest'
import { parallel } from '../../shared/aws.ts'
import { badDay, worstDay } from '../aws/weather.ts'
import type { AwsPartsOptions } from '../machine/aws-parts.ts'
import { payment, TestMachine, until } from '../machine/machine.ts'
import { seed } from '../random.ts'

const STEPS = 3
/** What is no payment, and refused. */
const WRONG = 5

it.each([
  ['a quarter of all requests to AWS goes wrong', badDay, 80, { ingressVisibilityMs: 3_000, bellVisibilityMs: 5_000 }], // a message whose answer is lost comes again
  [
    'one in ten requests to AWS is late, one gets 500, one 503, one is throttled, of one the connection is cut, one is never answered',
    worstDay,
    40,
    { ingressVisibilityMs: 1_000, bellVisibilityMs: 3_000, attemptMs: 300, longestWaitS: 1, patienceMs: 2_000 }, // or it would take as long as on AWS
  ],
])('keeps its promises on a day when %s', { timeout: 300_000 }, async (_, weather, payments, parts: AwsPartsOptions) => {
  console.log(`a bad day at AWS, seed ${seed}`)
  await using machine = await TestMachine.start({ a: {}, b: {} }, { side: 'aws', parts })
  machine.emulators.proxy.weather = weather
  const acknowledged = new Set<string>()
  let refused = 0
  const postOnce = async (number: number) => {
    const wish = number % 10 ? undefined : { loop: { pool: 'b', left: STEPS, text: `loop ${number}` } }
    const sent = payment(`payment ${number}`, wish)
    const ack = await machine.post('a', sent)
    expect([200, 503]).toContain(ack.status)
    if (ack.status === 200) acknowledged.add(sent.transaction)
    else refused++
    return ack
  }
  const post = (number: number) =>
    until(
      () => postOnce(number),
      ({ status }) => status !== 503, // a wallet tries again
      60_000,
    )
  const numbers = Array.from({ length: payments }, (_, number) => number)
  const hasty = Array.from({ length: payments / 2 }, (_, i) => payments + i).filter((number) => number % 10) // of wallets that post once, whatever they hear
  for (let i = 0; i < WRONG; i++)
    expect((await machine.post('a', { transaction: `${payment(`wrong ${i}`).transaction}00` })).status).toBe(422)
  await Promise.all([parallel(numbers, 8, post), parallel(hasty, 4, postOnce)])
  const steps = (payments / 10) * STEPS
  await until(
    () => [new Set(machine.ended('a')).size, new Set(machine.ended('b')).size],
    ([a, b]) => a! >= acknowledged.size && b! >= steps,
    240_000,
  )
  await parallel(numbers, 8, post) // wallets that have not heard
  machine.emulators.proxy.weather = () => undefined
  await until(
    () => machine.call('ingress'),
    ({ waiting, inFlight }) => waiting + inFlight === 0,
    60_000,
  )
  const held = (await machine.call('read', { path: 'a' })).map(({ payment: { transaction } }) => transaction)
  await until(
    () => new Set(machine.ended('a')).size,
    (ended) => ended === held.length,
  )
  await machine.stop()

  expect(new Set(held).size, 'none is there twice').toBe(held.length)
  expect(
    [...acknowledged].filter((one) => !held.includes(one)),
    'acknowledged, and lost',
  ).toEqual([])
  const posted = [...numbers, ...hasty].map((number) => payment(`payment ${number}`).transaction)
  expect(
    held.filter((one) => !posted.includes(one)),
    'never posted, or wrong',
  ).toEqual([])
  for (const [pool, entries] of [
    ['a', held.length],
    ['b', steps],
  ] as const) {
    expect(await machine.verify(pool)).toMatchObject({ entries, receipts: entries, problems: 0 })
    const ended = machine.ended(pool)
    expect([...new Set(ended)], 'the handler ran for each, in order').toEqual(Array.from({ length: entries }, (_, seq) => seq))
  }
  console.log(`${acknowledged.size} payments acknowledged, ${held.length} held, ${refused} posts refused`)
})
