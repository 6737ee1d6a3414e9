import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Load, load } from './load.ts'
import { installOriginal } from './original.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number, quantile } from './report.ts'
import { withText } from './transactions.ts'

const CONNECTIONS = [16, 64]
/** Events that have not come this long after the last one count as lost, ms. */
const GIVE_UP_MS = 5_000

interface Contestant {
  name: string
  program: Program
  url: string
  posted: number
  accepted: number
  refused: number
  delivered: number
  /** by the number of connections */
  rounds: Map<number, Round[]>
}

interface Round extends Load {
  /** processor time of its process, user and system, until all was delivered, µs a post */
  cpu: number
}

/**
 * Posts by turns into the original, into a floor (the least that a durable door must do) and into this machine, with handlers attached. Measures the posts
 * taken, the time of an answer, the processor time of a post, and the events that reach the handler.
 */
export async function http({ smoke }: Effort): Promise<Figures> {
  const [rounds, seconds] = smoke ? [1, 1] : [7, 3]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const contestants: Contestant[] = []
  try {
    const installed = await installOriginal()
    contestants.push(await enter('original 0.0.6', 'original', installed, dir))
    contestants.push(await enter('floor', 'floor', dir))
    contestants.push(await enter('this one', 'ours', join(dir, 'ours')))
    for (const contestant of contestants) await play(contestant, CONNECTIONS[0]!, smoke ? 0.5 : 2) // warms up
    for (let round = 0; round < rounds; round++) {
      for (const connections of CONNECTIONS) {
        for (const contestant of contestants) {
          const played = await play(contestant, connections, seconds)
          contestant.rounds.set(connections, [...(contestant.rounds.get(connections) ?? []), played])
        }
      }
    }
    return figuresOf(contestants, `${rounds} rounds of ${seconds} s each, by turns`)
  } finally {
    await Promise.all(contestants.map(({ program }) => program.kill()))
    rmSync(dir, { recursive: true, force: true })
  }
}

async function enter(name: string, ...program: [string, ...string[]]): Promise<Contestant> {
  const started = await Program.start(...program)
  return { name, program: started, url: await started.ask('url'), posted: 0, accepted: 0, refused: 0, delivered: 0, rounds: new Map() }
}

async function play(contestant: Contestant, connections: number, seconds: number): Promise<Round> {
  const before = await cpuOf(contestant)
  const done = await load(contestant.url, connections, seconds, () => withText(contestant.posted++))
  contestant.accepted += done.latencies.length
  contestant.refused += done.refused
  await settle(contestant)
  return { ...done, cpu: ((await cpuOf(contestant)) - before) / done.latencies.length }
}

async function cpuOf({ program }: Contestant): Promise<number> {
  const { user, system } = await program.ask<NodeJS.CpuUsage>('cpu')
  return user + system
}

/** Waits until the handler has got all accepted posts, or gets no more, so that the next turn begins on a quiet computer. */
async function settle(contestant: Contestant): Promise<void> {
  for (let since = performance.now(); performance.now() - since < GIVE_UP_MS && contestant.delivered < contestant.accepted; ) {
    const delivered = await contestant.program.ask<number>('delivered')
    if (delivered > contestant.delivered) since = performance.now()
    contestant.delivered = delivered
    await wait(20)
  }
}

interface Line {
  name: string
  rate: number
  cpu: number
  p50: number
  p99: number
}

function figuresOf(contestants: Contestant[], how: string): Figures {
  const rows = [['', 'connections', 'posts/s', 'µs of processor a post', 'p50 ms', 'p99 ms']]
  const goals: Figures['goals'] = []
  for (const connections of CONNECTIONS) {
    const lines = contestants.map((contestant) => lineOf(contestant, connections)) as [Line, Line, Line]
    const [original, floor, ours] = lines
    for (const { name, rate, cpu, p50, p99 } of lines) rows.push([name, ...[connections, rate, cpu, p50, p99].map(number)])
    rows.push(['ours to the floor', ...[connections, ours.rate / floor.rate, ours.cpu / floor.cpu, ours.p50 / floor.p50].map(number), ''])
    rows.push([
      'ours to the original',
      ...[connections, ours.rate / original.rate, ours.cpu / original.cpu, ours.p50 / original.p50].map(number),
      '',
    ])
    goals.push(
      { what: `at ${connections} connections 80 % of the floor's posts/s`, met: ours.rate >= 0.8 * floor.rate },
      { what: `at ${connections} connections at most 1.6 times the floor's processor time a post`, met: ours.cpu <= 1.6 * floor.cpu },
      { what: `at ${connections} connections 4 times the posts/s of the original`, met: ours.rate >= 4 * original.rate },
    )
  }
  const ours = contestants.at(-1)!
  goals.push({ what: 'with every event delivered', met: ours.delivered === ours.accepted && ours.refused === 0 })
  return {
    title: `http: posts of 251-byte transactions, a handler attached (the floor has none); ${how}; medians of rounds`,
    rows,
    goals,
    notes: contestants.map(
      ({ name, accepted, refused, delivered }) =>
        `${name}: ${number(accepted)} accepted, ${number(refused)} refused, ${number(delivered)} ${name === 'floor' ? 'stored' : 'events delivered'}`,
    ),
  }
}

function lineOf({ name, rounds }: Contestant, connections: number): Line {
  const played = rounds.get(connections)!
  return {
    name,
    rate: median(played.map(({ latencies, seconds }) => latencies.length / seconds)),
    cpu: median(played.map(({ cpu }) => cpu)),
    p50: median(played.map(({ latencies }) => median(latencies))),
    p99: median(played.map(({ latencies }) => quantile(latencies, 0.99))),
  }
}
