import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { BellsEvent, BellsResponse } from '../../../functions/handler/lambda.ts'
import type { EventSource } from '../../aws/event-source.ts'
import { functionUrlEvent } from '../../door/function-url.ts'
import { answer } from '../program.ts'
import { plain } from '../transactions.ts'

// A function as Lambda runs it: a bundle of `cdk deploy` in a process of its own, with almost nothing else loaded, called with Lambda's events.

const [dir, environment] = process.argv.slice(2)
Object.assign(process.env, JSON.parse(environment!))
let logged = 0
process.stdout.write = (chunk: string | Uint8Array) => {
  logged += Buffer.byteLength(chunk)
  return true
}
const began = performance.now()
const { handler } = (await import(join(dir!, 'index.mjs'))) as {
  handler: (event: unknown, context: unknown) => Promise<unknown>
}
const initMs = performance.now() - began
const rss = process.memoryUsage.rss()

/** The sums of all calls of the function. */
const taken = { calls: 0, cpuMs: 0, sent: 0 }

async function pay(i: number, pools: string[]): Promise<number> {
  const body = JSON.stringify({ transaction: Buffer.from(plain(i)).toString('hex') })
  const event = functionUrlEvent(body, { path: `/${pools[i % pools.length]}`, headers: { 'content-type': 'application/json' } })
  const asked = performance.now()
  const { statusCode, body: said, headers } = (await handler(event, {})) as { statusCode: number; body: string; headers: object }
  if (statusCode !== 200) throw new Error(`the door answers ${statusCode}: ${said}`)
  taken.calls++
  taken.sent += said.length + JSON.stringify(headers).length
  return performance.now() - asked
}

let source: EventSource | undefined

answer({
  /** The time from the import to a callable handler, ms, and resident memory then. */
  init: () => ({ initMs, rss }),
  /** Makes payments at this rate, each when it is due; resolves to the ms until the last was acknowledged. */
  async pay({ pools, from, count, rate }: { pools: string[]; from: number; count: number; rate: number }) {
    const start = performance.now()
    const posts: Promise<number>[] = []
    for (let i = 0; i < count; i++) {
      const early = start + (i / rate) * 1_000 - performance.now()
      if (early > 1) await wait(early)
      posts.push(pay(from + i, pools))
      if (posts.length % 16 === 0) await new Promise(setImmediate) // lets answers arrive, also when payments are late
    }
    await Promise.all(posts)
    return performance.now() - start
  },
  /** Makes payments one after the other, as one instance of a function takes them; returns the ms of each, and the processor time of one. */
  async payInTurn({ pool, from, count }: { pool: string; from: number; count: number }) {
    const began = process.cpuUsage()
    const ms: number[] = []
    for (let i = 0; i < count; i++) ms.push(await pay(from + i, [pool]))
    const { user, system } = process.cpuUsage(began)
    return { ms, cpuMs: (user + system) / 1_000 / count, rss: process.memoryUsage.rss() }
  },
  /** Starts to take bells from a queue, as the event source mapping does. */
  async listen(url: string) {
    const [{ SQSClient }, { EventSource }] = await Promise.all([import('@aws-sdk/client-sqs'), import('../../aws/event-source.ts')])
    const invoke = async (event: BellsEvent) => {
      const began = process.cpuUsage()
      const answered = await handler(event, { getRemainingTimeInMillis: () => 90_000 })
      const { user, system } = process.cpuUsage(began)
      taken.calls++
      taken.cpuMs += (user + system) / 1_000
      return answered as BellsResponse
    }
    source = new EventSource({ client: new SQSClient({}), url, functions: 1, invoke })
    source.start()
  },
  stop: () => source?.stop(),
  /** The sums of all calls until now; `handled` is the number of entries that the handler file has counted. */
  taken: () => ({ ...taken, logged, handled: (globalThis as { handled?: number }).handled ?? 0 }),
})
