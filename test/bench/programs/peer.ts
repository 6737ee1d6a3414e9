import { setTimeout as wait } from 'node:timers/promises'
import { Overpool } from '../../../index.ts'
import { answer } from '../program.ts'
import { withText } from '../transactions.ts'

// A machine that publishes its pool or subscribes to another's, and measures the time from a post to its handler. Publisher and subscriber are processes on one
// host, and use its one monotonic clock.

const [dir, bootstrap] = process.argv.slice(2)
const pool = new Overpool({ dir, network: { host: '127.0.0.1', bootstrap: [bootstrap!] } })
const now = () => Number(process.hrtime.bigint()) / 1e6
let delivered = 0
/** for each event: the time of the post, and the time from the post to the handler, ms */
let arrivals: [at: number, ms: number][] = []
let reached = { count: Number.POSITIVE_INFINITY, resolve: (_at: number) => {} }
let isTimed = false
/** the arrival times of named events, and the call that waits for one */
const named = new Map<string, number>()
let awaited = { name: '', resolve: (_at: number) => {} }

pool.on('tx', (e) => {
  if (e.path === 'mypool') return
  const { memo } = e.payment
  if (memo?.startsWith('#')) {
    named.set(memo, now())
    if (memo === awaited.name) awaited.resolve(now())
  }
  if (isTimed) arrivals.push([Number(memo), now() - Number(memo)])
  if (++delivered === reached.count) reached.resolve(now())
})
await pool.create({ path: 'mypool', port: false })

/** Makes `count` posts: `perSecond` a second, or `inFlight` at a time. */
async function post({ count, perSecond, inFlight = 1 }: { count: number; perSecond?: number; inFlight?: number }): Promise<void> {
  const start = now()
  const posts: Promise<unknown>[] = []
  let i = 0
  const one = () => pool.post({ path: 'mypool', payment: { transaction: withText(i++), memo: String(now()) } })
  if (perSecond === undefined)
    await Promise.all(
      Array.from({ length: inFlight }, async () => {
        while (i < count) await one()
      }),
    )
  else
    while (i < count) {
      for (const due = Math.min(count, ((now() - start) / 1_000) * perSecond); i < due; ) posts.push(one())
      await wait(Math.max(1, start + (i / perSecond) * 1_000 - now()))
    }
  await Promise.all(posts)
}

answer({
  now,
  async pub(): Promise<string> {
    const key = await pool.pub({ path: 'mypool' })
    await pool.ready({ path: 'mypool', announced: true })
    return key
  },
  async sub(key: string): Promise<number> {
    const at = now()
    await pool.sub({ path: key })
    return at
  },
  async post(how: { count: number; perSecond?: number; inFlight?: number }): Promise<number> {
    await post(how)
    while ((await pool.status()).find(({ path }) => path === 'mypool')!.entries < how.count) await wait(10)
    return now()
  },
  /** Makes a post with a name, '#…'; resolves to the time at which it began. */
  async postNamed(memo: string): Promise<number> {
    const at = now()
    await pool.post({ path: 'mypool', payment: { transaction: withText(0), memo } })
    return at
  },
  /** Resolves to the time at which the event of this name came. */
  named: (name: string) => named.get(name) ?? new Promise<number>((resolve) => (awaited = { name, resolve })),
  /** Resolves to the time at which the handler was called for the `count`th time. */
  reached: (count: number) => {
    if (delivered >= count) return now()
    return new Promise<number>((resolve) => (reached = { count, resolve }))
  },
  delivered: () => delivered,
  /** Starts to record the arrival of events. */
  time: () => {
    isTimed = true
    arrivals = []
  },
  arrivals: () => arrivals,
  peers: async () => (await pool.status()).map(({ network }) => network?.peers ?? 0),
  close: () => pool.close(),
})
