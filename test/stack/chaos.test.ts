import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { AwsRequest } from '../aws/proxy.ts'
import { worstDay } from '../aws/weather.ts'
import { forkNothing } from '../chaos/second-process.ts'
import { survives } from '../chaos/survives.ts'
import { type Pace, Wallets } from '../chaos/wallets.ts'
import { payment } from '../machine/machine.ts'
import { seed } from '../random.ts'
import { StackMachine } from './machine.ts'

// What test/chaos does to parts of a machine, done to one that is deployed: its door and its handler are functions, its sidecar is a process.

/** How long the weather is bad, and how long two sidecars work at once, s. */
const BAD_S = 20
const TWO_S = 15
const DEATHS = 10
const BELLS_AGAIN_S = 5

/** The emulator's functions and tables are slow: more load than this would only wait. */
const PACE: Pace = { together: 2, pauseMs: 100 }

const pools = { a: {}, b: {} }

describe('a deployed machine', () => {
  /** Between functions and sidecar, and the emulator: one in ten requests is late, of one each the answer is 500, 503, throttled, cut off, half done, never there. */
  it('in bad weather keeps its promises', async () => {
    console.log(`the worst day at AWS, seed ${seed}`)
    await using machine = await StackMachine.open(pools, {})
    await machine.bellsComeAgainAfter(BELLS_AGAIN_S)
    await machine.proxyFunctions()
    const asked = { all: 0, inBadWeather: 0, byTheDoor: 0, byTheHandler: 0 }
    machine.proxy.weather = (request) => {
      const fault = machine.isOurs(request) ? worstDay(request) : undefined
      asked.all++
      if (fault) asked.inBadWeather++
      if (isPost(request)) asked.byTheDoor++
      if (isCursor(request)) asked.byTheHandler++
      // A receive that is never answered is waited for for 25 s: then little else would be seen.
      if (request.operation === 'ReceiveMessage' && (fault === 'unheard' || fault === 'unanswered')) return 'lost'
      return fault
    }
    const wallets = new Wallets(machine, { pools: Object.keys(pools), together: 6, refusals: [500, 502, 503] })
    const end = wallets.start()
    expect((await machine.post('a', { transaction: `${payment('wrong').transaction}00` })).status).toBe(422)
    await wait(BAD_S * 1_000)
    await end()
    machine.proxy.weather = () => undefined
    if (machine.working().end !== undefined) await machine.start() // it could not renew its lease: ECS would start another task
    await wallets.settled()
    const entries = await wallets.isAllThere()
    await machine.stop()
    for (const pool of Object.keys(pools)) expect(await machine.verify(pool)).toMatchObject({ problems: 0 })
    expect(wallets.acknowledged).toBeGreaterThan(BAD_S)
    expect(asked.byTheDoor).toBeGreaterThanOrEqual(wallets.acknowledged)
    expect(asked.byTheHandler).toBeGreaterThan(0)
    console.log(
      `${asked.all} requests, ${asked.inBadWeather} of them in bad weather; ${wallets.acknowledged} payments acknowledged, ${wallets.refused} posts refused, ${wallets.unanswered} not answered; ${entries} entries`,
    )
  })

  it('whose sidecar dies ten times keeps its promises', async () => {
    await using machine = await StackMachine.open(pools, {})
    await survives(machine, DEATHS, (round) => machine.replace(round % 3 ? 'deployed' : 'killed'), PACE)
  })

  it('with two sidecars keeps its promises', async () => {
    await using machine = await StackMachine.open(pools, {})
    await forkNothing(machine, TWO_S, PACE)
  })
})

/** A post into the ingress queue: the door's, or the handler's for a loop. */
function isPost({ operation, input }: AwsRequest): boolean {
  return operation === 'SendMessageBatch' && !String(input.QueueUrl).endsWith('.fifo')
}

/** A note of how far the handler has come. */
function isCursor({ operation, input }: AwsRequest): boolean {
  return (operation === 'PutItem' || operation === 'UpdateItem') && JSON.stringify(input).includes('"cursor#')
}
