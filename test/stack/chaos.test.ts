import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { AwsRequest } from '../aws/proxy.ts'
import { worstDay } from '../aws/weather.ts'
import { forkNothing } from '../chaos/second-process.ts'
import { survives } from '../chaos/survives.ts'
import { type Pace, Wallets } from '../chaos/wallets.ts'
import { payment, until } from '../machine/machine.ts'
import { seed } from '../random.ts'
import { StackMachine } from './machine.ts'

// The same as test/chaos, on a deployed machine: its door and its handler are functions, its sidecar is a process.

/** The time of bad weather, and the time of two sidecars at once, s. */
const BAD_S = 20
const TWO_S = 15
const DEATHS = 10
const BELLS_AGAIN_S = 5

/** The emulator's functions and tables are slow: more load would only wait. */
const PACE: Pace = { together: 2, pauseMs: 100 }

const pools = { a: {}, b: {} }

describe('a deployed machine', () => {
  /** A tenth of the requests of functions and sidecar is late. Another tenth each fails, is unavailable, is throttled, breaks off, is half done, or gets no answer. */
  it('keeps its promises in bad weather', async () => {
    console.log(`the worst day at AWS, seed ${seed}`)
    await using machine = await StackMachine.open(pools, {})
    machine.keepWorking() // a sidecar that cannot renew its lease ends
    await machine.bellsComeAgainAfter(BELLS_AGAIN_S)
    await machine.proxyFunctions()
    const asked = { all: 0, inBadWeather: 0, byTheDoor: 0, byTheHandler: 0 }
    machine.proxy.weather = (request) => {
      const fault = machine.isOurs(request) ? worstDay(request) : undefined
      asked.all++
      if (fault) asked.inBadWeather++
      if (isPost(request)) asked.byTheDoor++
      if (isCursor(request)) asked.byTheHandler++
      // A receive without an answer takes 25 s to time out: the test would do little else.
      if (request.operation === 'ReceiveMessage' && (fault === 'unheard' || fault === 'unanswered')) return 'lost'
      return fault
    }
    const wallets = new Wallets(machine, { pools: Object.keys(pools), together: 6, refusals: [500, 502, 503] })
    const end = wallets.start()
    expect((await machine.post('a', { transaction: `${payment('wrong').transaction}00` })).status).toBe(422)
    await wait(BAD_S * 1_000)
    await until(
      () => asked.byTheHandler,
      (cursors) => cursors > 0, // a handler that starts slowly has its share of the weather too
    )
    await end()
    machine.proxy.weather = () => undefined
    await wallets.settled()
    const entries = await wallets.isAllThere()
    await machine.stop()
    for (const pool of Object.keys(pools)) expect(await machine.verify(pool)).toMatchObject({ problems: 0 })
    expect(wallets.acknowledged).toBeGreaterThan(BAD_S)
    expect(asked.byTheDoor).toBeGreaterThanOrEqual(wallets.acknowledged)
    console.log(
      `${asked.all} requests, ${asked.inBadWeather} of them in bad weather; ${wallets.acknowledged} payments acknowledged, ${wallets.refused} posts refused, ${wallets.unanswered} not answered; ${entries} entries`,
    )
  })

  it('keeps its promises when its sidecar dies ten times', async () => {
    await using machine = await StackMachine.open(pools, {})
    await survives(machine, DEATHS, (round) => machine.replace(round % 3 ? 'deployed' : 'killed'), PACE)
  })

  it('keeps its promises with two sidecars', { timeout: 600_000 }, async () => {
    await using machine = await StackMachine.open(pools, {})
    await forkNothing(machine, TWO_S, PACE)
  })
})

/** Whether a request sends posts to the ingress queue: from the door, or from the handler for a loop. */
function isPost({ operation, input }: AwsRequest): boolean {
  return operation === 'SendMessageBatch' && !String(input.QueueUrl).endsWith('.fifo')
}

/** Whether a request writes a cursor. */
function isCursor({ operation, input }: AwsRequest): boolean {
  return (operation === 'PutItem' || operation === 'UpdateItem') && JSON.stringify(input).includes('"cursor#')
}
