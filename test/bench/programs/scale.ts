import { Overpool } from '../../../index.ts'
import { scanTransaction } from '../../../shared/transaction/index.ts'
import { answer } from '../program.ts'
import { withText } from '../transactions.ts'

// A machine that posts into its own pool, to measure the cost of an entry from the post to the end of its handler.

/** The number of posts in flight at a time. */
const SIDE_BY_SIDE = 64

const [dir] = process.argv.slice(2)
const pool = new Overpool({ dir })
let handled = 0
let wanted = 0
let reached = () => {}
let awaited = ''
let came = () => {}
pool.on('tx', (e) => {
  if (++handled === wanted) reached()
  if (awaited && e.hash === awaited) came()
})
await pool.create({ path: 'mypool', port: false })

answer({
  /** Posts `count` transactions from number `from` on, and waits for their handler; returns the time and the processor time, ms. */
  async post({ from, count }: { from: number; count: number }) {
    const begun = performance.now()
    const worked = process.cpuUsage()
    wanted = handled + count
    const all = new Promise<void>((resolve) => (reached = resolve))
    let next = from
    await Promise.all(
      Array.from({ length: SIDE_BY_SIDE }, async () => {
        while (next < from + count) await pool.post({ path: 'mypool', payment: withText(next++) })
      }),
    )
    await all
    const { user, system } = process.cpuUsage(worked)
    return { ms: performance.now() - begun, cpuMs: (user + system) / 1_000 }
  },
  /** Posts transaction number `i`, and waits until the handler has finished it, and so all entries before it. */
  async through(i: number) {
    const transaction = withText(i)
    awaited = scanTransaction(Buffer.from(transaction, 'hex')).txid
    const handled = new Promise<void>((resolve) => (came = resolve))
    await pool.post({ path: 'mypool', payment: transaction })
    await handled
    awaited = ''
  },
  memory: () => process.memoryUsage.rss(),
})
