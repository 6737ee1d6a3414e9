import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Load, load } from './load.ts'
import { installOriginal } from './original.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number, quantile } from './report.ts'
import { withText } from './transactions.ts'

const CONNECTIONS = 16
/** Events that have not come so long after the last one are lost, ms. */
const GIVE_UP_MS = 5_000

interface Contestant {
  name: string
  program: Program
  url: string
  posted: number
  accepted: number
  refused: number
  delivered: number
  rounds: Load[]
}

/** Posts into the original and into ours by turns, handlers attached: what the door takes, how soon it answers, and what reaches the handler. */
export async function http({ smoke }: Effort): Promise<Figures> {
  const [rounds, seconds] = smoke ? [1, 1] : [7, 4]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const contestants: Contestant[] = []
  try {
    const installed = await installOriginal()
    contestants.push(await enter('original 0.0.6', 'original', installed, dir), await enter('this one', 'ours', join(dir, 'ours')))
    for (const contestant of contestants) await play(contestant, smoke ? 0.5 : 2) // warm
    for (let round = 0; round < rounds; round++)
      for (const contestant of contestants) contestant.rounds.push(await play(contestant, seconds))
    return figuresOf(contestants as [Contestant, Contestant], `${rounds} rounds of ${seconds} s each, by turns`)
  } finally {
    await Promise.all(contestants.map(({ program }) => program.kill()))
    rmSync(dir, { recursive: true, force: true })
  }
}

async function enter(name: string, ...program: [string, ...string[]]): Promise<Contestant> {
  const started = await Program.start(...program)
  return { name, program: started, url: await started.ask('url'), posted: 0, accepted: 0, refused: 0, delivered: 0, rounds: [] }
}

async function play(contestant: Contestant, seconds: number): Promise<Load> {
  const done = await load(contestant.url, CONNECTIONS, seconds, () => withText(contestant.posted++))
  contestant.accepted += done.latencies.length
  contestant.refused += done.refused
  await settle(contestant)
  return done
}

/** Waits until the handler has had all that was accepted, or nothing comes any more: the other one's turn begins on a quiet machine. */
async function settle(contestant: Contestant): Promise<void> {
  for (let since = performance.now(); performance.now() - since < GIVE_UP_MS && contestant.delivered < contestant.accepted; ) {
    const delivered = await contestant.program.ask<number>('delivered')
    if (delivered > contestant.delivered) since = performance.now()
    contestant.delivered = delivered
    await wait(20)
  }
}

function figuresOf(contestants: [Contestant, Contestant], how: string): Figures {
  const [original, ours] = contestants.map(({ rounds, accepted, refused, delivered, name }) => ({
    name,
    rate: median(rounds.map(({ latencies, seconds }) => latencies.length / seconds)),
    p50: median(rounds.map(({ latencies }) => median(latencies))),
    p99: median(rounds.map(({ latencies }) => quantile(latencies, 0.99))),
    accepted,
    refused,
    delivered,
  })) as [Line, Line]
  const ratio = ours.rate / original.rate
  return {
    title: `http: posts of 251-byte transactions, ${CONNECTIONS} connections, a handler attached; ${how}; medians of rounds`,
    rows: [
      ['', 'posts/s', 'p50 ms', 'p99 ms', 'refused', 'events delivered', 'of accepted'],
      ...[original, ours].map(({ name, rate, p50, p99, refused, delivered, accepted }) => [
        name,
        ...[rate, p50, p99, refused, delivered, accepted].map(number),
      ]),
      ['ratio', ...[ratio, ours.p50 / original.p50, ours.p99 / original.p99].map(number), '', '', ''],
    ],
    goals: [
      { what: '6 times the posts/s of the original', met: ratio >= 6 },
      { what: 'at a lower p50', met: ours.p50 < original.p50 },
      { what: 'with every event delivered', met: ours.delivered === ours.accepted && ours.refused === 0 },
    ],
  }
}

interface Line {
  name: string
  rate: number
  p50: number
  p99: number
  accepted: number
  refused: number
  delivered: number
}
