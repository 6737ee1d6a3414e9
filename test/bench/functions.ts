import { Deployment } from '../aws/deployment.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number, quantile } from './report.ts'

const POOL = 'mypool'
const MB = 1024 * 1024
/** Goals for the payments function: its minified bundle, and its memory. */
const MAX_BUNDLE_KB = 500
const MAX_MB = 256

interface Line {
  name: string
  kb: number
  initMs: number
  mb: number
}

/** Measures the bundles that `cdk deploy` uploads: their size, the start of a fresh process and its memory, and the time of a payment. */
export async function functions({ smoke }: Effort): Promise<Figures> {
  const [rounds, count] = smoke ? [1, 20] : [9, 2_000]
  await using deployment = await Deployment.start([POOL])
  const { payments, handlers } = deployment.program
  const door = await initOf('payments', payments, deployment.environment('payments'), rounds)
  const runner = await initOf('handler', handlers[0]!.bundle, deployment.environment('handler'), rounds)
  const warm = await Program.start('lambda', payments.dir, JSON.stringify(deployment.environment('payments')))
  try {
    await warm.ask('payInTurn', { pool: POOL, from: 0, count: count / 10 })
    const { ms, cpuMs, rss } = await warm.ask<{ ms: number[]; cpuMs: number; rss: number }>('payInTurn', { pool: POOL, from: count, count })
    return figuresOf(door, runner, { p50: median(ms), p99: quantile(ms, 0.99), cpuMs, mb: rss / MB }, `${rounds} fresh processes`)
  } finally {
    await warm.kill()
  }
}

async function initOf(
  name: string,
  bundle: { dir: string; bytes: number },
  environment: Record<string, string>,
  rounds: number,
): Promise<Line> {
  const seen: { initMs: number; rss: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const fresh = await Program.start('lambda', bundle.dir, JSON.stringify(environment))
    seen.push(await fresh.ask('init'))
    await fresh.kill()
  }
  return {
    name,
    kb: bundle.bytes / 1_000,
    initMs: median(seen.map(({ initMs }) => initMs)),
    mb: median(seen.map(({ rss }) => rss / MB)),
  }
}

function figuresOf(door: Line, runner: Line, warm: { p50: number; p99: number; cpuMs: number; mb: number }, how: string): Figures {
  return {
    title: `functions: their bundles in ${how} each, from the import to a handler that can be called; medians`,
    rows: [
      ['', 'KB loaded', 'init ms', 'resident MB'],
      ...[door, runner].map(({ name, kb, initMs, mb }) => [name, number(kb), number(initMs), number(mb)]),
    ],
    notes: [
      `A warm payment, one at a time, the queue in memory on this machine: p50 ${number(warm.p50)} ms, p99 ${number(warm.p99)} ms, ${number(warm.cpuMs)} ms of the processor; then ${number(warm.mb)} MB resident.`,
    ],
    goals: [
      { what: `payments load at most ${MAX_BUNDLE_KB} KB`, met: door.kb <= MAX_BUNDLE_KB },
      { what: 'payments are ready in under 100 ms', met: door.initMs < 100 },
      { what: `payments take less than ${MAX_MB} MB`, met: Math.max(door.mb, warm.mb) < MAX_MB },
    ],
  }
}
