import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Run } from '../shared/store/runs.ts'
import { SqliteFile } from '../shared/store/sqlite/file.ts'
import { SqliteRuns } from '../shared/store/sqlite/runs.ts'

let dir: string
let file: SqliteFile
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'overpool-runs-'))
  file = new SqliteFile(join(dir, 'ledger.sqlite'))
})
afterEach(() => {
  file.close()
  rmSync(dir, { recursive: true, force: true })
})

function run(seq: number, more: Partial<Run> = {}): Run {
  const common: Omit<Run, 'seq' | 'startedAt'> = {
    handler: 'main',
    pool: 'mypool',
    kind: 'tx',
    attempt: 1,
    ms: 0.5,
    outcome: 'ok',
    console: [],
    posts: 0,
  }
  return { ...common, seq, startedAt: 1_000_000 + seq, ...more }
}

async function added(runs: SqliteRuns, ...all: Run[]): Promise<void> {
  for (const one of all) runs.add(one)
  await runs.flush()
}

const seqsOf = (runs: Run[]) => runs.map(({ seq }) => seq)

describe('the ring of runs', () => {
  it('gives back what was added, the newest first, whatever batches they were written in', async () => {
    const runs = new SqliteRuns(file)
    const failed = run(1, { outcome: 'failed', error: 'Error: ü\n  at x', console: ['one', ''], posts: 2, attempt: 7, ms: 12.34 })
    await added(runs, run(0), failed)
    await added(runs, run(2, { handler: 'other' }), run(3))
    await added(runs, run(9, { pool: 'another' }))
    expect(await runs.list({ pool: 'mypool' })).toEqual([run(3), run(2, { handler: 'other' }), failed, run(0)])
    expect(seqsOf(await runs.list({ pool: 'mypool', limit: 2 }))).toEqual([3, 2])
    expect(seqsOf(await runs.list({ pool: 'mypool', handler: 'main' }))).toEqual([3, 1, 0])
    expect(seqsOf(await runs.list({ pool: 'mypool', seq: 1 }))).toEqual([1])
    expect(seqsOf(await runs.list({ pool: 'mypool', since: 1_000_003 }))).toEqual([3, 1]) // that one took longer
  })

  it('keeps no more runs than its bound, forgets the oldest, and keeps failed ones however many succeed', async () => {
    const kept = { count: 10, bytes: 1_000_000 }
    const runs = new SqliteRuns(file, kept)
    await added(runs, run(0, { outcome: 'failed', error: 'the one that counts' }))
    for (let seq = 1; seq <= 30; seq++) await added(runs, run(seq))
    expect(seqsOf(await runs.list({ pool: 'mypool' }))).toEqual([30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 0])
    // opened again, it knows how much it has
    const again = new SqliteRuns(file, kept)
    await added(again, run(31))
    expect(await again.list({ pool: 'mypool' })).toHaveLength(11)
  })

  it('keeps no more bytes than its bound', async () => {
    const runs = new SqliteRuns(file, { count: 1_000_000, bytes: 50_000 })
    const noise = () => Array.from({ length: 500 }, () => Math.random().toString(36)).join('')
    for (let seq = 0; seq < 40; seq++) await added(runs, run(seq, { console: [noise()] }))
    const { bytes } = file.get<{ bytes: number }>('SELECT sum(length(body)) AS bytes FROM runs')!
    expect(bytes).toBeGreaterThan(25_000)
    expect(bytes).toBeLessThanOrEqual(50_000)
    expect(seqsOf(await runs.list({ pool: 'mypool', limit: 1 }))).toEqual([39])
  })

  it('writes thousands of runs as a few rows', async () => {
    const runs = new SqliteRuns(file)
    await added(runs, ...Array.from({ length: 5_000 }, (_, seq) => run(seq)))
    expect(file.get<{ rows: number }>('SELECT count(*) AS rows FROM runs')!.rows).toBeLessThan(10)
    expect(seqsOf(await runs.list({ pool: 'mypool', seq: 4_321 }))).toEqual([4_321])
  })

  it('waits for no disk, and joins a transaction of the machine if one comes', async () => {
    const waitedForDisk = () => file.get<{ synchronous: number }>('PRAGMA synchronous')!.synchronous === 2
    const rows = () => file.get<{ rows: number }>('SELECT count(*) AS rows FROM runs')!.rows
    const runs = new SqliteRuns(file)
    await file.write(() => {})
    expect(waitedForDisk()).toBe(true)
    await added(runs, run(0))
    expect([waitedForDisk(), rows()]).toEqual([false, 1])
    let commits = 0
    file.on('commit', () => commits++)
    runs.add(run(1))
    await new Promise((resolve) => setTimeout(resolve, 300)) // it has been gathered, and waits for a transaction
    expect([commits, rows()]).toEqual([0, 1])
    await file.write(() => {})
    expect([commits, rows()]).toEqual([1, 2])
    runs.add(run(2))
    await new Promise((resolve) => setTimeout(resolve, 800)) // none came
    expect([commits, rows(), waitedForDisk()]).toEqual([2, 3, false])
  })

  it('passes over a damaged batch', async () => {
    const runs = new SqliteRuns(file)
    await added(runs, run(0))
    await added(runs, run(1))
    await file.write(() => file.run("UPDATE runs SET body = x'00' WHERE first = 0"))
    expect(seqsOf(await runs.list({ pool: 'mypool' }))).toEqual([1])
  })
})
