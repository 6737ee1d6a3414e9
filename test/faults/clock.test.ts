import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { Overpool } from '../../index.ts'
import { SqliteQueue } from '../../shared/queue/sqlite.ts'
import { SqliteFile } from '../../shared/store/sqlite/file.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { tempDir } from './ledger.ts'

// The wall clock of this process jumps. It is set before the program's modules are loaded, since some keep `Date.now`.

const HOUR_MS = 3_600_000
const wall = vi.hoisted(() => {
  const { now } = Date
  const clock = { ahead: 0 }
  Date.now = () => now() + clock.ahead
  return clock
})

let dir: string | undefined
afterEach(() => {
  wall.ahead = 0
  if (dir) rmSync(dir, { recursive: true })
  dir = undefined
})

it('a message that was given back comes again after its delay, although the clock is set back meanwhile', async () => {
  dir = tempDir()
  const store = new SqliteFile(join(dir, 'ledger.sqlite'))
  for (const fifo of [false, true]) {
    const queue = new SqliteQueue(store, `fifo ${fifo}`, { fifo, visibilityMs: 10 })
    await queue.send([{ body: Buffer.from('one'), group: 'a' }])
    const received = await queue.receive({ max: 1, waitMs: 0 })
    await queue.giveBack(received, 10)
    wall.ahead -= HOUR_MS
    expect(await queue.receive({ max: 1, waitMs: HOUR_MS })).toMatchObject([{ receives: 2 }])
    wall.ahead -= HOUR_MS
    expect(await queue.receive({ max: 1, waitMs: HOUR_MS }), 'its visibility time is over').toMatchObject([{ receives: 3 }])
  }
  store.close()
})

it('a message in flight stays hidden although the clock is set forward, and a repeated one stays dropped', async () => {
  dir = tempDir()
  const store = new SqliteFile(join(dir, 'ledger.sqlite'))
  const queue = new SqliteQueue(store, 'bells', { fifo: true, visibilityMs: HOUR_MS })
  const bell = { body: Buffer.from('one'), group: 'a', dedupe: 'block 0' }
  await queue.send([bell])
  await queue.receive({ max: 1, waitMs: 0 })
  wall.ahead += 24 * HOUR_MS
  await queue.send([bell])
  expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 1 })
  expect(await queue.receive({ max: 1, waitMs: 0 })).toEqual([])
  store.close()
})

it('each entry is handled once, in order, while the clock jumps back and forth by hours', async () => {
  dir = tempDir()
  const overpool = new Overpool({ dir })
  const failed = new Set<number>()
  const handled: number[] = []
  overpool.on('error', () => {}) // the failures below
  overpool.on('tx', ({ seq }) => {
    if (seq % 5 === 0 && !failed.has(seq)) {
      failed.add(seq)
      throw new Error('as it was asked to')
    }
    handled.push(seq)
  })
  await overpool.create({ path: 'a', port: false })
  const jumps = [-3, 6, -3, -1]
  const jumping = setInterval(() => {
    jumps.push(jumps.shift()!)
    wall.ahead += jumps[0]! * HOUR_MS
  }, 20)
  const posts = Array.from({ length: 40 }, (_, i) => overpool.post({ path: 'a', payment: sampleTransaction(`post ${i}`) }))
  await Promise.all(posts)
  await until(
    () => handled.length,
    (count) => count >= posts.length,
  )
  clearInterval(jumping)
  await overpool.close()
  expect(handled).toEqual(posts.map((_, i) => i))
})
