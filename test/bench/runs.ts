import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { recording } from '../../functions/handler/recording.ts'
import { SqliteFile } from '../../shared/store/sqlite/file.ts'
import { SqliteRuns } from '../../shared/store/sqlite/runs.ts'
import { turn } from '../../shared/turn.ts'
import { load } from './load.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number } from './report.ts'
import { withText } from './transactions.ts'

const CONNECTIONS = [16, 64]
const LEAST = 0.95

interface Machine {
  name: 'with' | 'without'
  program: Program
  url: string
  posted: number
  accepted: number
  /** by the number of connections */
  rounds: Map<number, Round[]>
}

interface Round {
  /** posts a second */
  rate: number
  /** processor time of the machine until all was handled, µs a post */
  cpu: number
}

/** Posts by turns into a machine that records the runs of its handler, and into one that does not. */
export async function runs({ smoke }: Effort): Promise<Figures> {
  const [rounds, seconds] = smoke ? [1, 0.5] : [60, 0.5] // short ones: what else the computer does changes from second to second
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const machines: Machine[] = []
  try {
    for (const name of ['with', 'without'] as const) {
      const program = await Program.start('recording', join(dir, name), name)
      machines.push({ name, program, url: await program.ask('url'), posted: 0, accepted: 0, rounds: new Map() })
    }
    for (const machine of machines) await play(machine, CONNECTIONS[0]!, seconds) // warms up
    for (let round = 0; round < rounds; round++)
      // whoever comes first has another computer than who comes second
      for (const connections of CONNECTIONS)
        for (const machine of round % 2 ? machines.toReversed() : machines)
          machine.rounds.set(connections, [...(machine.rounds.get(connections) ?? []), await play(machine, connections, seconds)])
    const kept = await machines[0]!.program.ask<number>('runs')
    return figuresOf(
      machines,
      kept,
      await costOfRun(join(dir, 'alone.sqlite'), smoke ? 1_000 : 200_000),
      `${rounds} rounds of ${seconds} s, by turns`,
    )
  } finally {
    await Promise.all(machines.map(({ program }) => program.kill()))
    rmSync(dir, { recursive: true, force: true })
  }
}

async function play(machine: Machine, connections: number, seconds: number): Promise<Round> {
  const before = await cpuOf(machine)
  const done = await load(machine.url, connections, seconds, () => withText(machine.posted++))
  machine.accepted += done.latencies.length
  while ((await machine.program.ask<number>('delivered')) < machine.accepted) await wait(20)
  await wait(300) // the last runs are written
  return { rate: done.latencies.length / done.seconds, cpu: ((await cpuOf(machine)) - before) / done.latencies.length }
}

async function cpuOf({ program }: Machine): Promise<number> {
  const { user, system } = await program.ask<NodeJS.CpuUsage>('cpu')
  return user + system
}

/** What it takes to record a run and to write it, with nothing else going on, µs of processor. The rates above say less on a computer that others use. */
async function costOfRun(file: string, count: number): Promise<number> {
  const store = new SqliteFile(file)
  const recorder = new SqliteRuns(store)
  const context = { handler: 'main', pool: 'mypool', hops: 0, ordinal: 0, posts: [], ended: false, failed: false, threwLate() {} }
  let start = process.cpuUsage()
  for (let seq = -count; seq < count; seq++) {
    if (seq === 0) start = process.cpuUsage() // the first half warms up
    recording({ ...context, cause: { key: '', seq } }, 'tx', 1, Date.now, (run) => recorder.add(run))('ok')
    if (seq % 50 === 0) await turn()
  }
  await recorder.flush()
  const { user, system } = process.cpuUsage(start)
  store.close()
  return (user + system) / count
}

function figuresOf(machines: Machine[], kept: number, alone: number, how: string): Figures {
  const rows = [['', 'connections', 'posts/s', 'µs of processor a post']]
  const goals: Figures['goals'] = []
  for (const connections of CONNECTIONS) {
    const [recorded, plain] = machines.map(({ rounds }) => ({
      rate: median(rounds.get(connections)!.map(({ rate }) => rate)),
      cpu: median(rounds.get(connections)!.map(({ cpu }) => cpu)),
    })) as [Round, Round]
    rows.push(['with runs', ...[connections, recorded.rate, recorded.cpu].map(number)])
    rows.push(['without', ...[connections, plain.rate, plain.cpu].map(number)])
    rows.push(['with to without', ...[connections, recorded.rate / plain.rate, recorded.cpu / plain.cpu].map(number)])
    goals.push({ what: `at ${connections} connections 95 % of the posts/s without runs`, met: recorded.rate >= LEAST * plain.rate })
  }
  const posts = median(machines[1]!.rounds.get(CONNECTIONS.at(-1)!)!.map(({ cpu }) => cpu))
  rows.push(['recording a run, alone', '', '', number(alone)])
  goals.push({ what: 'to record a run takes at most 5 % of the processor time of a post', met: alone <= (1 - LEAST) * posts })
  goals.push({ what: 'with the runs kept', met: kept > 0 })
  return { title: `runs: posts of 251-byte transactions, one handler, its runs recorded or not; ${how}; medians of rounds`, rows, goals }
}
