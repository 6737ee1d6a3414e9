import { describe, expect, it } from 'vitest'
import { Overpool } from '../../index.ts'
import type { Run } from '../../shared/store/runs.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { Project, pay } from './project.ts'

/** Two entries are handled at once, each in its own pool; one that says 'bad' fails twice, one that says 'poison' always. */
const HANDLER = `
let failed = 0
export async function onTx(e, pool) {
  const { memo } = e.payment
  console.log('began', { memo })
  await new Promise((resolve) => setTimeout(resolve, 50))
  setTimeout(() => console.log('too late'), 100)
  if (memo === 'posts') await pool.post({ path: 'other', payment: { transaction: '${sampleTransaction('a consequence')}' } })
  if (memo === 'poison') throw new Error('it is poison\\u001b[31m')
  if (memo === 'bad' && failed++ < 2) throw new Error('no such table: orders')
  console.error('ended', e.path, memo)
}
`

async function runsOf(project: Project, ...args: string[]): Promise<Run[]> {
  const { out, err } = await project.result('runs', ...args, '--json')
  expect(err).toBe('')
  return out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Run)
}

describe('overpool runs', () => {
  it('shows each run with its attempt, duration, outcome, posts, error with stack, and the console lines of that run alone', {
    timeout: 180_000,
  }, async () => {
    await using project = Project.of({ mypool: { maxAttempts: 3 }, other: {} }, HANDLER)
    const machine = await project.start()
    await Promise.all([
      pay(`${machine.url}/mypool`, sampleTransaction('a'), 'bad'),
      pay(`${machine.url}/other`, sampleTransaction('b'), 'side by side'),
    ])
    await machine.says(/ended mypool bad/)
    await pay(`${machine.url}/mypool`, sampleTransaction('c'), 'posts')
    await machine.says(/ended mypool posts/)
    const runs = await until(
      () => runsOf(project, 'mypool'),
      (found) => found.length >= 4,
    )
    const shape = runs.map(({ seq, attempt, outcome, posts, console }) => ({ seq, attempt, outcome, posts, console }))
    expect(shape).toEqual([
      { seq: 0, attempt: 1, outcome: 'failed', posts: 0, console: ["began { memo: 'bad' }"] },
      { seq: 0, attempt: 2, outcome: 'failed', posts: 0, console: ["began { memo: 'bad' }"] },
      { seq: 0, attempt: 3, outcome: 'ok', posts: 0, console: ["began { memo: 'bad' }", 'ended mypool bad'] },
      { seq: 1, attempt: 1, outcome: 'ok', posts: 1, console: ["began { memo: 'posts' }", 'ended mypool posts'] },
    ])
    for (const { handler, pool, kind, ms, startedAt } of runs) {
      expect([handler, pool, kind]).toEqual(['handler', 'mypool', 'tx'])
      expect(ms).toBeGreaterThanOrEqual(45)
      expect(ms).toBeLessThan(10_000)
      expect(Math.abs(Date.now() - startedAt)).toBeLessThan(60_000)
    }
    expect(runs[0]!.error).toMatch(/^Error: no such table: orders\n +at .*onTx .*handler\.ts:\d+/)
    expect(runs[2]).not.toHaveProperty('error')
    expect((await runsOf(project, 'other'))[0]!.console).toEqual(["began { memo: 'side by side' }", 'ended other side by side'])
    // it was printed as before
    expect(machine.out).toContain("began { memo: 'bad' }\n")
    expect(machine.out).toContain('too late\n')
    expect(machine.err).toContain('ended mypool bad\n')
    expect((await runsOf(project, 'mypool', '--seq', '0', '-n', '1'))[0]).toMatchObject({ seq: 0, attempt: 3 })
    expect(await runsOf(project, 'mypool', '--handler', 'nobody')).toEqual([])
  })

  it('shows what others wrote as harmless text, says that an entry was given up, and finds the runs after a restart', {
    timeout: 180_000,
  }, async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 } }, HANDLER)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'), 'poison')
    await machine.says(/gave up mypool #0/)
    expect(await machine.stop()).toBe(0) // at once: what is gathered is written
    const { out, code } = await project.result('runs', 'mypool')
    expect(code).toBe(0)
    expect(out).toMatch(
      /^#0 {2}20[\d-]+T[\d:.]+Z {2}handler {2}tx {2}\d+ ms {2}given up\n {4}\| began { memo: 'poison' }\n {4}! Error: it is poison\\u001b\[31m\n {4}! /,
    )
    expect(out).not.toContain('\u001b')
    await project.start()
    expect(await runsOf(project, 'mypool')).toMatchObject([{ outcome: 'given-up', attempt: 1 }])
  })

  it('with -f shows runs as they end, each once', { timeout: 180_000 }, async () => {
    await using project = Project.of({ mypool: {}, other: {} }, HANDLER)
    const machine = await project.start()
    const follower = project.overpool(['runs', 'mypool', '-f', '--json'])
    for (let i = 0; i < 3; i++) {
      await pay(`${machine.url}/mypool`, sampleTransaction(`${i}`), `number ${i}`)
      await follower.says(new RegExp(`"seq":${i}\\b`))
    }
    await new Promise((resolve) => setTimeout(resolve, 800)) // it looks again, and finds nothing new
    expect(await follower.stop()).toBe(0)
    const seqs = follower.out
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as Run).seq)
    expect(seqs).toEqual([0, 1, 2])
  })

  it('says so when there are none, and refuses what makes no sense', { timeout: 180_000 }, async () => {
    await using project = Project.of({ mypool: {} }, HANDLER)
    await project.start()
    expect(await project.result('runs', 'mypool')).toEqual({ code: 0, out: 'no runs of handlers in mypool are kept\n', err: '' })
    expect(await project.result('runs', 'nopool')).toMatchObject({ code: 1, err: expect.stringContaining('no pool named "nopool"') })
    expect(await project.result('runs', 'mypool', '-n', '0')).toMatchObject({ code: 2, err: expect.stringContaining('from 1 to 10000') })
  })
})

it('a program asks for the runs of its own handler, which it finds at once', async () => {
  await using project = new Project()
  await using pool = new Overpool({ dir: project.dir })
  await pool.create({ path: 'mypool', port: false })
  const ended = Promise.withResolvers<void>()
  pool.on('tx', () => ended.resolve())
  await pool.post({ path: 'mypool', payment: sampleTransaction('a') })
  await ended.promise
  const runs = await until(
    () => pool.runs({ path: 'mypool' }),
    (found) => found.length > 0,
  )
  expect(runs).toMatchObject([{ handler: 'tx', pool: 'mypool', seq: 0, kind: 'tx', attempt: 1, outcome: 'ok', posts: 0, console: [] }])
  await expect(pool.runs({ path: 'nopool' })).rejects.toMatchObject({ code: 'POOL_NOT_FOUND' })
  await expect(pool.runs({ path: 'mypool', seq: -1 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
})
