import { describe, expect, it } from 'vitest'
import { payment, TestMachine, until } from '../machine/machine.ts'

describe('a handler', () => {
  it('that throws is called again with the same entry before any later one', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    await machine.post('mypool', payment('first'))
    await machine.post('mypool', payment('second', { throw: 2 }))
    await machine.post('mypool', payment('third'))
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 3,
    )
    expect(machine.ended('mypool')).toEqual([0, 1, 2])
    expect(machine.runs('mypool').filter(({ seq, ended }) => seq === 1 && !ended)).toHaveLength(3)
    expect(await machine.call('dead', 'mypool')).toEqual([])
  })

  it('gives up on an entry after maxAttempts, keeps it with its error, and goes on; redrive retries it', async () => {
    await using machine = await TestMachine.start({ mypool: { maxAttempts: 2 } })
    await machine.post('mypool', payment('poison', { throw: 2 }))
    await machine.post('mypool', payment('next'))
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 1,
    )
    expect(machine.ended('mypool')).toEqual([1])
    expect(await machine.call('dead', 'mypool')).toMatchObject([
      { seq: 0, attempts: 2, error: 'Error: the handler failed, as it was asked to (run 2)' },
    ])

    expect(await machine.call('redrive', 'mypool', false)).toMatchObject({ dead: [0] })
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 2,
    )
    await until(
      () => machine.call('dead', 'mypool'),
      (dead) => dead.length === 0,
    )
    expect(machine.ended('mypool')).toEqual([1, 0])
  })

  it('that is paused is not called, whatever rings for it and however often the machine dies; unpause has it go on where it is', async () => {
    await using machine = await TestMachine.start({ mypool: {}, other: {} })
    const untilEnded = (pool: string, n: number) =>
      until(
        () => machine.ended(pool),
        (seqs) => seqs.length === n,
      )
    await machine.post('mypool', payment('before'))
    await untilEnded('mypool', 1)
    await machine.call('pause', 'mypool', 'the database moves')
    await machine.post('mypool', payment('waits'))
    await machine.post('other', payment('goes on'))
    await untilEnded('other', 1)
    await machine.kill()
    await machine.start()
    await machine.post('mypool', payment('waits, too'))
    await machine.post('other', payment('goes on again'))
    await untilEnded('other', 2)
    expect(machine.ended('mypool')).toEqual([0])
    expect(await machine.call('cursor', 'mypool')).toMatchObject({ seq: 0, paused: 'the database moves' })
    expect(await machine.call('unpause', 'mypool')).toBe(true)
    await untilEnded('mypool', 3)
    expect(machine.ended('mypool')).toEqual([0, 1, 2])
    expect(await machine.call('cursor', 'mypool')).not.toHaveProperty('paused')
  })

  it('stops at a failing entry if the pool is set so, while other pools go on; redrive or skip goes on from there', async () => {
    await using machine = await TestMachine.start({ strict: { maxAttempts: 2, onPoison: 'stop' }, other: {} })
    await machine.post('strict', payment('poison', { throw: 3 }))
    await machine.post('strict', payment('waits'))
    await machine.post('other', payment('goes on'))
    const stopped = await until(
      () => machine.call('cursor', 'strict'),
      (cursor) => cursor.stopped !== undefined,
    )
    expect(stopped).toMatchObject({ seq: -1, attempts: 2 })
    await until(
      () => machine.ended('other'),
      (seqs) => seqs.length === 1,
    )
    expect(machine.ended('strict')).toEqual([])

    expect(await machine.call('redrive', 'strict', false)).toMatchObject({ stoppedAt: 0, skipped: false })
    await until(
      () => machine.ended('strict'),
      (seqs) => seqs.length === 2,
    ) // its fourth run succeeds
    expect(machine.ended('strict')).toEqual([0, 1])

    await machine.post('strict', payment('bad for good', { throw: 100 }))
    await machine.post('strict', payment('after it'))
    await until(
      () => machine.call('cursor', 'strict'),
      (cursor) => cursor.stopped !== undefined,
    )
    expect(await machine.call('redrive', 'strict', true)).toMatchObject({ stoppedAt: 2, skipped: true })
    await until(
      () => machine.ended('strict'),
      (seqs) => seqs.length === 3,
    )
    expect(machine.ended('strict')).toEqual([0, 1, 3])
    expect(await machine.call('dead', 'strict')).toMatchObject([{ seq: 2 }])
  })

  it('that hangs fails after timeoutMs', async () => {
    await using machine = await TestMachine.start({ mypool: { timeoutMs: 300 } })
    await machine.post('mypool', payment('hangs', { hang: 1 }))
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 1,
    )
    expect(machine.runs('mypool').filter(({ ended }) => !ended)).toHaveLength(2)
    expect((await machine.call('reports')).some((line) => line.startsWith('failed:'))).toBe(true)
  })

  it('runs a loop, within a pool and across two, in which each step is posted once', async () => {
    await using machine = await TestMachine.start({ a: {}, b: {} })
    await machine.post('a', payment('begin', { loop: { pool: 'a', left: 20, text: 'step' } }))
    await machine.post('b', payment('begin', { loop: { pool: 'a', left: 1, text: 'over' } }))
    await until(
      () => machine.runs().filter(({ ended }) => ended),
      (runs) => runs.length === 23,
    )
    const events = await machine.call('read', { path: 'a' })
    expect(events).toHaveLength(22)
    expect(events.filter(({ payment: { memo } }) => memo?.includes('step')).map(({ hops }) => hops)).toEqual(
      Array.from({ length: 21 }, (_, i) => i),
    )
    const over = events.find(({ payment: { memo } }) => memo?.includes('over'))!
    expect(over).toMatchObject({ source: 'handler', hops: 1, cause: { key: (await machine.call('control', 'b')).key, seq: 0 } })
  })

  it('is stopped by maxHops when its loop does not end, and that is reported', async () => {
    await using machine = await TestMachine.start({ mypool: { maxHops: 5, maxAttempts: 1 }, none: { maxHops: 0, maxAttempts: 1 } })
    await machine.post('mypool', payment('begin', { loop: { pool: 'mypool', left: 100, text: 'x' } }))
    await machine.post('none', payment('begin', { loop: { pool: 'none', left: 100, text: 'x' } }))
    await until(
      () => machine.call('dead', 'mypool'),
      (dead) => dead.length === 1,
    )
    await until(
      () => machine.call('dead', 'none'),
      (dead) => dead.length === 1,
    )
    expect(await machine.call('length', 'mypool')).toBe(6)
    expect(await machine.call('length', 'none')).toBe(1)
    expect((await machine.call('reports')).some((line) => line.startsWith('post-failed:') && line.includes('LOOP_TOO_DEEP'))).toBe(true)
  })

  it('whose second run posts something else keeps the post of the first, and that is reported', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    await machine.post('mypool', payment('fickle', { fickle: true }))
    const differences = await differencesOf(machine)
    expect(differences).toHaveLength(1)
    expect(await machine.call('length', 'mypool')).toBe(2)
  })

  it('whose second run posts the same transaction with another memo keeps the post of the first, and that is reported', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    await machine.post('mypool', payment('fickle', { fickle: 'memo' }))
    const differences = await differencesOf(machine)
    expect(differences).toEqual([expect.stringContaining('with other fields, such as its memo')])
    expect((await machine.call('tail', { path: 'mypool' })).map((e) => e.payment.memo)).toEqual([
      JSON.stringify({ fickle: 'memo' }),
      'run 1',
    ])
  })

  it('has finished an entry only when its posts are held, also posts that it does not await', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    await machine.post('mypool', payment('forgets', { forget: 3 }))
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 4,
    )
    await until(
      () => machine.call('cursor', 'mypool'),
      ({ seq }) => seq === 3,
    )
    expect((await machine.call('read', { path: 'mypool' })).map(({ hops }) => hops)).toEqual([0, 1, 1, 1])
  })
})

/** The reports of a second run that posted something else, once both posts are handled. */
async function differencesOf(machine: TestMachine): Promise<string[]> {
  await until(
    () => machine.ended('mypool'),
    (seqs) => seqs.length >= 2,
  )
  const isDifference = (line: string) => line.startsWith('post-differs:')
  const reports = await until(
    () => machine.call('reports'),
    (lines) => lines.some(isDifference),
  )
  return reports.filter(isDifference)
}
