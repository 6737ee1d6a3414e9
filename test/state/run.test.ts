import { setImmediate as turn } from 'node:timers/promises'
import { encode } from 'cborg'
import { expect, it } from 'vitest'
import { answerBell, type RunnerOptions } from '../../functions/handler/runner.ts'
import { systemClock } from '../../shared/clock.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { handlerContext } from '../../shared/machine/context.ts'
import { redrive } from '../../shared/machine/progress.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import { decodeValue } from '../../shared/state/values.ts'
import { SHARED } from '../../shared/store/state.ts'
import { blockOf, type Ledger, oneAttempt, tempLedger } from '../faults/ledger.ts'

type OnTx = (event: TxEvent, state: HandlerState) => unknown

const later = () => Date.now() + 60_000

function runnerOf({ stores }: Ledger, tx: OnTx, more: { shared?: RunnerOptions['shared']; reports?: string[] } = {}) {
  const { reports = [], ...options } = more
  return {
    handler: 'main',
    ...oneAttempt(),
    stores,
    report: (said: { kind: string; error?: unknown }) => reports.push(`${said.kind}: ${String(said.error)}`),
    functions: { tx },
    ...options,
  }
}

async function value(ledger: Ledger, key: string, scope = 'a'): Promise<unknown> {
  const bytes = await ledger.stores.state.get('main', scope, key)
  return bytes && decodeValue(bytes)
}

const count: OnTx = (_e, state) => state.update('entries', (n) => ((n as number) ?? 0) + 1)

it('a handler counts entries, and goes on counting in the next run', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'one', 'two', 'three'))
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, count))
  expect(await value(ledger, 'entries')).toBe(3)
  await stores.blocks.put('a', blockOf(1, 3, 'four'))
  await answerBell({ pool: 'a', n: 1 }, ledger, 1, later(), runnerOf(ledger, count))
  await answerBell({ pool: 'a', n: 1 }, ledger, 2, later(), runnerOf(ledger, count))
  expect(await value(ledger, 'entries')).toBe(4)
})

it('a call that fails has changed nothing, and what the entries before it changed counts', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one', 'two', 'three'))
  const onTx: OnTx = async (e, state) => {
    await count(e, state)
    if (e.seq === 1) throw new Error('no')
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  expect(await value(ledger, 'entries')).toBe(2)
})

it('an entry that a handler gave up counts once when it is redriven, however often the bell comes', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  let fails = true
  const onTx: OnTx = async (e, state) => {
    await count(e, state)
    if (e.seq === 0 && fails) throw new Error('no')
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  fails = false
  await redrive('main', 'a', { skip: false }, { stores, bells: { send: async () => {} } as never, clock: systemClock })
  for (const receives of [1, 2]) await answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), runnerOf(ledger, onTx))
  expect(await value(ledger, 'entries')).toBe(2)
  expect(await stores.progress.listDead('main', 'a')).toEqual([])
})

it('of two runs on the same entries one counts, and the other says that it was overtaken', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  const runs = await Promise.allSettled([1, 2].map(() => answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, count))))
  expect(runs.map((run) => (run.status === 'fulfilled' ? 'done' : (run.reason as { code: string }).code)).sort()).toEqual([
    'OVERTAKEN',
    'done',
  ])
  expect(await value(ledger, 'entries')).toBe(2)
})

it('what a handler does not await counts as well', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  const onTx: OnTx = (e, state) => {
    void state.set(`entry ${e.seq}`, true)
    void state.update('entries', (n) => ((n as number) ?? 0) + 1)
    void state.update('entries', (n) => ((n as number) ?? 0) + 1)
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  expect(await value(ledger, 'entries')).toBe(4)
  expect(await value(ledger, 'entry 1')).toBe(true)
})

it('a state call that fails makes its entry fail, even if nobody awaits it', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one'))
  const reports: string[] = []
  const onTx: OnTx = (_e, state) => {
    void state.set('time', new Date())
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx, { reports }))
  expect(reports).toEqual([expect.stringContaining('the value of "time" cannot be kept')])
  expect(await ledger.stores.progress.listDead('main', 'a')).toHaveLength(1)
})

it('code that goes on after its call can change nothing', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  const late: unknown[] = []
  const onTx: OnTx = (e, state) => {
    if (e.seq === 0) setImmediate(() => state.set('late', true).catch((error: unknown) => late.push(error)))
    return count(e, state)
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  await turn()
  expect(late).toMatchObject([{ code: 'CALL_OVER' }])
  expect(await value(ledger, 'late')).toBeUndefined()
})

it('a handler sees its own changes at once: get, list, delete, and a copy of each value', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  const seen: unknown[] = []
  const onTx: OnTx = async (e, state) => {
    if (e.seq === 0) {
      const list = [1n, 2]
      await state.set('b', list)
      list.push(3)
      ;((await state.get('b')) as unknown[]).push(4)
      for (const key of ['a', 'c', 'd']) await state.set(key, key)
    }
    await state.delete('c')
    seen.push(await state.list({ limit: 2 }), await state.list({ after: 'b' }), await state.get('c'))
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  const all = [
    [
      { key: 'a', value: 'a' },
      { key: 'b', value: [1n, 2] },
    ],
    [{ key: 'd', value: 'd' }],
    undefined,
  ]
  expect(seen).toEqual([...all, ...all])
})

it('keeps every kind of value that it says it keeps', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one'))
  const values = [
    0,
    -1,
    1.5,
    2 ** 53,
    5n,
    -5n,
    0n,
    -1n,
    2n ** 200n,
    -(2n ** 64n),
    '',
    'ä\u{1f600}',
    true,
    false,
    null,
    [],
    {},
    { a: [1n, { b: null }] },
    new Uint8Array([1, 2]),
  ]
  const back: unknown[] = []
  const onTx: OnTx = async (_e, state) => {
    for (const [i, one] of values.entries()) {
      await state.set(`value ${i}`, one)
      back.push(await state.get(`value ${i}`))
    }
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  expect(back).toEqual(values)
})

it.each([
  ['an empty key', (state: HandlerState) => state.get(''), 'a key of a state must be a text of 1 to 512 bytes'],
  ['a key that is too long', (state: HandlerState) => state.set('ä'.repeat(257), 1), 'a key of a state must be a text of 1 to 512 bytes'],
  ['half a surrogate pair', (state: HandlerState) => state.get('\ud800'), 'a key of a state'],
  ['a value that is too long', (state: HandlerState) => state.set('a', 'x'.repeat(65_536)), 'and a state keeps up to 65536'],
  ['a Map', (state: HandlerState) => state.set('a', new Map()), 'cannot be kept'],
  ['a function', (state: HandlerState) => state.set('a', () => 1), 'cannot be kept'],
  ['a promise from update', (state: HandlerState) => state.update('a', async () => 1), 'must return a value, not a promise'],
  ['a limit of 0', (state: HandlerState) => state.list({ limit: 0 }), 'a whole number from 1 to 1000'],
  [
    '320 KiB in one entry',
    async (state: HandlerState) => {
      for (let i = 0; i < 6; i++) await state.set(`a${i}`, 'x'.repeat(60_000))
    },
    'one entry may change 327680',
  ],
])('refuses %s with a sentence that says what to do', async (_, use, says) => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one'))
  const reports: string[] = []
  await answerBell(
    { pool: 'a', n: 0 },
    ledger,
    1,
    later(),
    runnerOf(ledger, (_e, state) => use(state), { reports }),
  )
  expect(reports).toEqual([expect.stringContaining(says)])
  expect(await ledger.stores.state.list('main', 'a', { limit: 1 })).toEqual([])
})

it('a shared state is one for all pools of the handler', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  await stores.blocks.put('b', blockOf(0, 0, 'three'))
  for (const pool of ['a', 'b'])
    await answerBell({ pool, n: 0 }, ledger, 1, later(), runnerOf(ledger, count, { shared: oneAfterTheOther() }))
  expect(await value(ledger, 'entries', SHARED)).toBe(3)
})

it('a run whose state was edited by hand meanwhile begins anew', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'one', 'two'))
  const onTx: OnTx = async (e, state) => {
    await count(e, state)
    const edit = { pool: 'a', seq: -1, key: 'entries', before: undefined, after: encode(100) }
    if (e.seq === 1) await stores.progress.commit('main', 'a', undefined, { scope: 'a', version: 0, changes: [edit], at: 0 })
  }
  await expect(answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))).rejects.toMatchObject({ code: 'OVERTAKEN' })
  await answerBell({ pool: 'a', n: 0 }, ledger, 2, later(), runnerOf(ledger, count))
  expect(await value(ledger, 'entries')).toBe(102)
})

it('a run that is overtaken again and again has not died: its entry is not given up', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'one'))
  const onTx: OnTx = async (e, state) => {
    await count(e, state)
    const edit = { pool: 'a', seq: -1, key: 'edits', before: undefined, after: encode(1) }
    const version = await stores.state.open('main', 'a')
    await stores.progress.commit('main', 'a', undefined, { scope: 'a', version, changes: [edit], at: 0 })
  }
  const reports: string[] = []
  const runner = { ...runnerOf(ledger, onTx, { reports }), maxAttempts: 3 }
  for (let receives = 1; receives <= 8; receives++)
    await expect(
      answerBell({ pool: 'a', n: 0 }, ledger, receives, later(), runner),
      `${receives} ${reports.join()} ${JSON.stringify(await stores.progress.readCursor('main', 'a'))}`,
    ).rejects.toMatchObject({ code: 'OVERTAKEN' })
  expect(reports).toEqual([])
  expect(await stores.progress.listDead('main', 'a')).toEqual([])
  await answerBell({ pool: 'a', n: 0 }, ledger, 9, later(), { ...runner, functions: { tx: count } })
  expect(await value(ledger, 'entries')).toBe(1)
})

it('a call keeps what it has read, however many keys it and others read', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one', 'two', 'three'))
  const onTx: OnTx = async (e, state) => {
    if (e.seq === 0) for (const key of ['a', 'b']) await state.set(key, 100)
    if (e.seq === 1) for (let i = 0; i < 9_999; i++) await state.get(`nothing ${i}`)
    if (e.seq === 2) await Promise.all(['a', 'b', 'c'].map((key) => state.update(key, (n) => ((n as number) ?? 0) - 1)))
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  expect([await value(ledger, 'a'), await value(ledger, 'b'), await value(ledger, 'c')]).toEqual([99, 99, -1])
})

it('a post that a call makes after it has read its state belongs to the call', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'one'))
  let posted = false
  const onTx: OnTx = (_e, state) => {
    void state.get('a').then(() => {
      const post = new Promise((resolve) => setTimeout(resolve, 50)).then(() => {
        posted = true
      })
      handlerContext.getStore()!.posts.push(post)
    })
  }
  await answerBell({ pool: 'a', n: 0 }, ledger, 1, later(), runnerOf(ledger, onTx))
  expect(posted).toBe(true)
})
