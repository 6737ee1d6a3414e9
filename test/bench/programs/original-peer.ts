import { createRequire } from 'node:module'
import { answer } from '../program.ts'
import { withText } from '../transactions.ts'

// The package of 2019 as publisher or subscriber. It does not support port 0, and looks for peers at hosts of that time: run it where only loopback exists.

interface OriginalOverpool {
  create(options: { path: string; port: number }): Promise<void>
  pub(options: { path: string }): Promise<string>
  sub(options: { path: string }): Promise<string>
  post(options: { path: string; payment: { transaction: string } }): Promise<unknown>
  on(event: 'tx', handler: (e: { hash: string }) => void): void
}

const PORT = 3_999

const [installed, dir] = process.argv.slice(2)
const Overpool = createRequire(installed!)('overpool') as new (options: { path: string }) => OriginalOverpool
const pool = new Overpool({ path: dir! })
const delivered = new Set<string>()
let posted = 0

answer({
  async pub(): Promise<string> {
    await pool.create({ path: 'mypool', port: PORT })
    return pool.pub({ path: 'mypool' })
  },
  async sub(key: string): Promise<void> {
    await pool.sub({ path: key })
    pool.on('tx', ({ hash }) => void delivered.add(hash))
  },
  async post({ count, inFlight = 1 }: { count: number; inFlight?: number }): Promise<void> {
    const end = posted + count
    await Promise.all(
      Array.from({ length: inFlight }, async () => {
        while (posted < end) await pool.post({ path: 'mypool', payment: { transaction: withText(posted++) } })
      }),
    )
  },
  delivered: () => delivered.size,
})
