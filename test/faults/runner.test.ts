import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { answerBells } from '../../functions/handler/bells.ts'
import { HandlerLoop } from '../../functions/handler/loop.ts'
import { lineOf } from '../../functions/handler/report.ts'
import { answerBell } from '../../functions/handler/runner.ts'
import { sleepAwake, systemClock } from '../../shared/clock.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { LOST } from '../../shared/ledger/block.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { encodeBell } from '../../shared/ledger/messages.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { redrive } from '../../shared/machine/progress.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { HandClock } from '../hand-clock.ts'
import { until } from '../machine/machine.ts'
import { blockOf, type Ledger, oneAttempt, tempLedger } from './ledger.ts'

function runnerOf({ stores }: Ledger, onTx: (event: TxEvent) => unknown) {
  return {
    handler: 'main',
    ...oneAttempt(),
    maxAttempts: 2,
    stores,
    report: () => {},
    functions: { tx: onTx },
  }
}

/** A block n of a peer that is invalid: it keeps its place and has no entries. */
const passedOver = (n: number, first: number) => ({ n, first, count: 0, bytes: Buffer.of(n) })

const later = () => Date.now() + 60_000

it('an entry that is handled at last is not a dead letter, also when the machine died right after giving up on it', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  await stores.progress.writeCursor('main', 'a', { seq: -1, block: 0, attempts: 1 })
  await stores.progress.putDead('main', 'a', { seq: 0, block: 0, error: 'Error: no', attempts: 2, at: 0 })
  const ran: number[] = []
  await answerBell(
    { pool: 'a', n: 0 },
    ledger,
    2,
    later(),
    runnerOf(ledger, ({ seq }) => ran.push(seq)),
  )
  expect(ran).toEqual([0])
  expect(await stores.progress.readCursor('main', 'a')).toMatchObject({ seq: 0 })
  expect(await stores.progress.listDead('main', 'a')).toEqual([])
})

const UNSAYABLE: [string, unknown, string][] = [
  ['an object without a prototype', Object.create(null), 'a thrown object'],
  ['an object whose text cannot be made', { toString: () => ({}), valueOf: () => ({}) }, 'a thrown object'],
  ['an error whose message is no text', Object.assign(new Error(), { message: { toString: null, valueOf: null } }), 'a thrown object'],
  ['a symbol', Symbol('no'), 'Symbol(no)'],
  ['nothing', undefined, 'undefined'],
]

it.each(UNSAYABLE)(
  'an entry whose handler throws %s is given up like any other, and the report can be printed',
  async (_, thrown, error) => {
    await using ledger = await tempLedger()
    const { stores } = ledger
    await stores.blocks.put('a', blockOf(0, 0, 'entry'))
    const lines: string[] = []
    const runner = runnerOf(ledger, () => {
      throw thrown
    })
    for (const receives of [1, 2])
      await answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), { ...runner, report: (report) => lines.push(lineOf(report)) })
    expect(await stores.progress.listDead('main', 'a')).toMatchObject([{ seq: 0, error }])
    expect(lines).toEqual([expect.stringContaining(error), expect.stringContaining(error)])
  },
)

type Post = (text: string) => Promise<unknown>
const TEXTS = ['one', 'two', 'three']

it.each<[string, (post: Post) => unknown]>([
  [
    'in a function that nobody awaits',
    async (post) => {
      for (const text of TEXTS) await post(text)
    },
  ],
  [
    'in a chain of promises',
    (post) => TEXTS.reduce((before: Promise<unknown>, text) => before.then(() => post(text)).then(() => {}), Promise.resolve()),
  ],
])('an entry is finished when all its posts are held, also those that come one after the other %s', async (_, postAll) => {
  await using ledger = await tempLedger()
  const { stores, ingress } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  const pools = new LedgerPools({ stores, ingress, clock: systemClock, settings: () => checkSettings({}, ''), postFailed: () => {} })
  const post = (text: string) => pools.post({ path: 'a', payment: sampleTransaction(text) })
  await answerBell(
    { pool: 'a', n: 0 },
    ledger,
    1,
    later(),
    runnerOf(ledger, () => {
      postAll(post)
      void post('zero')
    }),
  )
  expect(await ingress.depth()).toEqual({ waiting: 4, inFlight: 0 })
})

/** Pools whose ingress queue can be unreachable. */
function falteringPools({ stores, ingress }: Ledger) {
  const faltering = {
    isAway: true,
    depth: () => ingress.depth(),
    check: () => ingress.check(),
    send: (...args: Parameters<typeof ingress.send>) =>
      faltering.isAway ? Promise.reject(new OverpoolError('UNAVAILABLE', 'SQS is away', { retryable: true })) : ingress.send(...args),
  }
  const pools = new LedgerPools({
    stores,
    ingress: faltering,
    clock: systemClock,
    settings: () => checkSettings({}, ''),
    postFailed: () => {},
  })
  return { faltering, pools }
}

it('an entry whose handler cannot post because the queue is unreachable waits, and never becomes a dead letter', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  const { faltering, pools } = falteringPools(ledger)
  const runner = runnerOf(ledger, () => pools.post({ path: 'a', payment: sampleTransaction('next') }))
  for (let receives = 1; receives <= 3 * runner.maxAttempts; receives++)
    expect(await answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), runner)).toMatchObject({ done: false })
  faltering.isAway = false
  expect(await answerBell({ pool: 'a', n: 0 }, ledger, 9, later(), runner)).toEqual({ done: true })
  expect(await stores.progress.listDead('main', 'a')).toEqual([])
  expect(await ingress.depth()).toEqual({ waiting: 1, inFlight: 0 })
})

it('a long run writes the cursor as it goes, so that a kill repeats little of it', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  const texts = Array.from({ length: 8 }, (_, i) => `entry ${i}`)
  await stores.blocks.put('a', blockOf(0, 0, ...texts))
  const clock = new HandClock()
  const written: number[] = []
  const onTx = async () => {
    written.push((await stores.progress.readCursor('main', 'a')).seq)
    clock.wind(100) // how long the handler takes
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, clock.now() + 60_000, { ...runnerOf(ledger, onTx), clock })
  expect(written).toEqual([-1, -1, -1, 2, 2, 2, 5, 5])
})

it('a redrive waits for an unreachable queue too', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  await stores.progress.writeCursor('main', 'a', { seq: 0, block: 1, attempts: 0 })
  await stores.progress.putDead('main', 'a', { seq: 0, block: 0, error: 'Error: no', attempts: 2, at: 1 })
  await stores.progress.askRedrive('main', 'a', 2)
  const { faltering, pools } = falteringPools(ledger)
  const runner = runnerOf(ledger, () => pools.post({ path: 'a', payment: sampleTransaction('next') }))
  for (const receives of [1, 2]) {
    expect(await answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), runner)).toMatchObject({ done: false })
    expect(await stores.progress.listDead('main', 'a')).toMatchObject([{ attempts: 2 }])
  }
  faltering.isAway = false
  expect(await answerBell({ pool: 'a', n: 0 }, ledger, 3, later(), runner)).toEqual({ done: true })
  expect(await stores.progress.listDead('main', 'a')).toEqual([])
})

it('an entry whose handler fails is retried for retryForMs, however many attempts that takes', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  let runs = 0
  const onTx = () => {
    runs++
    throw new Error('the database is away')
  }
  const runner = { ...runnerOf(ledger, onTx), retryForMs: 1_000, retryMs: 100, retryMostMs: 100 }
  let waited = 0
  for (let receives = 1; ; receives++) {
    const answer = await answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), runner)
    if (answer.done) break
    waited += answer.againMs
  }
  expect(waited).toBeGreaterThan(500) // half of each wait is random
  expect(waited).toBeLessThan(1_500)
  expect(await stores.progress.listDead('main', 'a')).toMatchObject([{ seq: 0, attempts: runs }])
})

it('an entry whose handler fails with an error that does not change by waiting is given up after maxAttempts', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  const onTx = () => {
    throw new OverpoolError('LOOP_TOO_DEEP', 'too deep')
  }
  const runner = { ...runnerOf(ledger, onTx), retryForMs: 600_000 }
  for (const receives of [1, 2]) await answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), runner)
  expect(await stores.progress.listDead('main', 'a')).toMatchObject([{ seq: 0, attempts: 2 }])
})

it.each(['POOL_HALTED', 'BLOCK_DAMAGED', 'CLOSED'] as const)(
  'an entry whose handler fails with %s is retried for retryForMs: an operator or a restart ends that',
  async (code) => {
    await using ledger = await tempLedger()
    const { stores } = ledger
    await stores.blocks.put('a', blockOf(0, 0, 'entry'))
    const onTx = () => {
      throw new OverpoolError(code, 'not now')
    }
    const runner = { ...runnerOf(ledger, onTx), retryForMs: 600_000 }
    for (const receives of [1, 2, 3]) await answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), runner)
    expect(await stores.progress.listDead('main', 'a')).toEqual([])
  },
)

it('entries that were handled before a store fails do not run again', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  const blocks = [0, 1].map((n) => blockOf(n, n, `entry ${n}`))
  await stores.blocks.putAll('a', blocks)
  const ran: number[] = []
  let isAway = true
  const faltering = new Proxy(stores.blocks, {
    get(_, name) {
      if (name === 'read')
        return async (pool: string, n: number) => {
          if (isAway && n > 0) throw new OverpoolError('UNAVAILABLE', 'the mirror is away', { retryable: true })
          return stores.blocks.read(pool, n, 1)
        }
      const method = Reflect.get(stores.blocks, name)
      return typeof method === 'function' ? method.bind(stores.blocks) : method
    },
  })
  const runner = { ...runnerOf(ledger, ({ seq }) => ran.push(seq)), stores: { ...stores, blocks: faltering } }
  await expect(answerBell({ pool: 'a', n: 1 }, ledger, 1, later(), runner)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  isAway = false
  await answerBell({ pool: 'a', n: 1 }, ledger, 2, later(), runner)
  expect(ran).toEqual([0, 1])
})

it('a handler that stops at failures stops at a lost block too', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', { n: 0, first: 0, count: 3, bytes: LOST })
  const runner = { ...runnerOf(ledger, () => {}), onPoison: 'stop' as const }
  expect(await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runner)).toEqual({ done: true })
  expect(await stores.progress.readCursor('main', 'a')).toMatchObject({ seq: -1, stopped: expect.stringContaining('block 0 was damaged') })
  expect(await stores.progress.listDead('main', 'a')).toEqual([])
})

it('a pool retries for ten minutes, unless its settings give a number of attempts', () => {
  expect(checkSettings({}, '')).toMatchObject({ maxAttempts: 5, retryForMs: 600_000 })
  expect(checkSettings({ maxAttempts: 3 }, '')).toMatchObject({ maxAttempts: 3, retryForMs: 0 })
  expect(checkSettings({ maxAttempts: 3, retryForMs: 5_000 }, '')).toMatchObject({ maxAttempts: 3, retryForMs: 5_000 })
})

it('a machine that is killed once does not end the retries of an entry that has failed often', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  await stores.progress.writeCursor('main', 'a', { seq: -1, block: 0, attempts: 10, begun: 1 })
  const ran: number[] = []
  const runner = { ...runnerOf(ledger, ({ seq }) => ran.push(seq)), retryForMs: 600_000 }
  expect(await answerBell({ pool: 'a', n: 0 }, ledger, 9, later(), runner)).toEqual({ done: true })
  expect(ran).toEqual([0])
})

it('an entry has all its attempts where the run before has ended at an earlier entry, and the process has died in none', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  await stores.progress.writeCursor('main', 'a', { seq: -1, block: 0, attempts: 1, begun: 0 }) // the run before has failed with the first entry
  const counted: unknown[] = []
  const runner = runnerOf(ledger, async () => counted.push((await stores.progress.readCursor('main', 'a'))?.begun))
  expect(await answerBell({ pool: 'a', n: 0 }, ledger, 2, later(), runner)).toEqual({ done: true })
  expect(counted).toEqual([1, 1])
})

it('the time in which the process stands still is not the handler’s', async () => {
  const clock = new HandClock()
  const over = sleepAwake(clock, 10_000, new AbortController().signal).then(() => true)
  const isOver = () => Promise.race([over, turn().then(() => false)])
  clock.wind(60_000)
  expect(await isOver()).toBe(false)
  for (let part = 0; part < 9; part++) {
    expect(await isOver()).toBe(false)
    clock.wind(1_000)
  }
  expect(await isOver()).toBe(true)
})

it('the timeoutMs of a handler can be longer than a timer can count', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  const onTx = () => systemClock.sleep(50)
  const runner = { ...runnerOf(ledger, onTx), timeoutMs: Number.MAX_SAFE_INTEGER }
  expect(await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runner)).toEqual({ done: true })
})

it('a bell whose deletion fails is deleted at the next attempt, and does not delay its pool until its visibility timeout', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'entry'))
  const queue = ledger.queue('main')
  let failures = 0
  const faltering = new Proxy(queue, {
    get(_, name) {
      if (name === 'delete' && failures++ < 2) return () => Promise.reject(new Error('not now'))
      const method = Reflect.get(queue, name)
      return typeof method === 'function' ? method.bind(queue) : method
    },
  })
  const loop = HandlerLoop.start({
    queue: faltering,
    clock: systemClock,
    report: () => {},
    answer: (bell, receives) =>
      answerBell(
        bell,
        ledger,
        receives,
        later(),
        runnerOf(ledger, () => {}),
      ),
  })
  await queue.send([{ body: encodeBell({ pool: 'a', n: 0 }), group: 'a', dedupe: 'a:0' }])
  await until(
    () => queue.depth(),
    ({ waiting, inFlight }) => waiting + inFlight === 0,
  )
  expect(failures).toBe(3)
  await loop.stop()
})

it('a block that was passed over is not read again at every later bell', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  for (const n of [1, 2, 3]) await stores.blocks.put('a', passedOver(n, 1))
  const runner = runnerOf(ledger, () => {})
  for (const n of [0, 1, 3]) {
    await answerBell({ pool: 'a', n }, ledger, 1, later(), runner)
    expect(await stores.progress.readCursor('main', 'a')).toMatchObject({ seq: 0, block: n + 1 })
  }
})

it('a subscription from a block on begins there, also when the number of its first entry is unknown', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(7, 30, 'entry'))
  const ran: number[] = []
  const runner = runnerOf(ledger, ({ seq }) => ran.push(seq))
  const followed = { key: ledger.key, begins: { block: 7, seq: 0 } }
  expect(await answerBell({ pool: 'a', n: 7 }, followed, 1, later(), runner)).toEqual({ done: true })
  expect(ran).toEqual([30])
})

it('a handler that stopped after missing sequence numbers skips the entry where it stopped', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'first'))
  await stores.blocks.put('a', passedOver(1, 1))
  await stores.blocks.put('a', blockOf(2, 5, 'bad', 'good'))
  const ran: number[] = []
  const onTx = ({ seq }: TxEvent) => {
    if (seq === 5) throw new Error('no')
    ran.push(seq)
  }
  const runner = { ...runnerOf(ledger, onTx), maxAttempts: 1, onPoison: 'stop' as const }
  const bell = { pool: 'a', n: 2 }
  await answerBell(bell, ledger, 1, later(), runner)
  const skipped = await redrive('main', 'a', { skip: true }, { stores, bells: ledger.queue('main'), clock: systemClock })
  expect(skipped).toMatchObject({ stoppedAt: 5, skipped: true })
  await answerBell(bell, ledger, 1, later(), runner)
  expect(ran).toEqual([0, 6])
  expect((await stores.progress.listDead('main', 'a')).map(({ seq }) => seq)).toEqual([5])
})

it('a bell that comes again after its work is done counts no attempt at a later entry', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  for (const n of [0, 1]) await stores.blocks.put('a', blockOf(n, n, `entry ${n}`))
  await stores.progress.writeCursor('main', 'a', { seq: 0, block: 1, attempts: 0 })
  const begun: unknown[] = []
  const runner = runnerOf(ledger, async () => begun.push((await stores.progress.readCursor('main', 'a')).begun))
  const messages = [2, 1].map((receives, n) => ({ body: encodeBell({ pool: 'a', n }), group: 'a', handle: `${n}`, receives }))
  await answerBells(messages, { answer: (bell, receives) => answerBell(bell, ledger, receives, later(), runner), report: () => {} })
  expect(begun).toEqual([undefined])
})
