import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number } from './report.ts'

const MB = 1024 * 1024

interface Cost {
  ms: number
  cpuMs: number
}

interface Ledger {
  dir: string
  /** the number of entries before the rounds */
  size: number
  entries: number
  machine: Program
  rss: number
  costs: Cost[]
}

/** Measures the cost of an entry from the post to the end of its handler, in pools of three sizes by turns; their memory; and the restart of the largest after a kill. */
export async function scale({ smoke }: Effort): Promise<Figures> {
  const sizes = smoke ? [100, 200, 400] : [10_000, 100_000, 1_000_000]
  const [rounds, count] = smoke ? [1, 50] : [9, 2_000]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const ledgers: Ledger[] = []
  try {
    for (const size of sizes) ledgers.push(await filled(join(dir, `${size}`), size))
    for (let round = 0; round < rounds; round++) for (const ledger of ledgers) ledger.costs.push(await post(ledger, count))
    const largest = ledgers.at(-1)!
    const restart = await restarted(largest)
    return figuresOf(ledgers, restart, `${rounds} rounds of ${number(count)} by turns`)
  } finally {
    await Promise.all(ledgers.map(({ machine }) => machine.kill()))
    rmSync(dir, { recursive: true, force: true })
  }
}

async function filled(dir: string, size: number): Promise<Ledger> {
  const ledger: Ledger = { dir, size, entries: 0, machine: await Program.start('scale', dir), rss: 0, costs: [] }
  while (ledger.entries < size) await post(ledger, Math.min(10_000, size - ledger.entries))
  ledger.rss = await ledger.machine.ask('memory')
  return ledger
}

async function post(ledger: Ledger, count: number): Promise<Cost> {
  const { ms, cpuMs } = await ledger.machine.ask<Cost>('post', { from: ledger.entries, count })
  ledger.entries += count
  return { ms: ms / count, cpuMs: cpuMs / count }
}

/** Kills the machine under load, and starts it again; resolves to the ms until a new post has been handled, after all open ones. */
async function restarted(ledger: Ledger): Promise<number> {
  const unfinished = ledger.machine.ask('post', { from: ledger.entries, count: 1_000_000 }).catch(() => {})
  await wait(500)
  await ledger.machine.kill()
  await unfinished
  const start = performance.now()
  ledger.machine = await Program.start('scale', ledger.dir)
  await ledger.machine.ask('through', -1)
  return performance.now() - start
}

function figuresOf(ledgers: Ledger[], restartMs: number, how: string): Figures {
  const lines = ledgers.map(({ size, rss, costs }) => ({
    size,
    rss: rss / MB,
    cost: median(costs.map(({ ms }) => ms * 1_000)),
    cpu: median(costs.map(({ cpuMs }) => cpuMs * 1_000)),
  }))
  const [smallest] = lines
  const worst = Math.max(...lines.map(({ cost }) => cost / smallest!.cost))
  const memory = Math.max(...lines.map(({ rss }) => rss))
  return {
    title: `scale: a post in process up to the end of its handler, 64 side by side; medians of ${how}`,
    rows: [
      ['entries in the pool', 'µs an entry', 'against the first', 'µs of processor', 'resident MB'],
      ...lines.map(({ size, cost, cpu, rss }) => [number(size), number(cost), number(cost / smallest!.cost), number(cpu), number(rss)]),
    ],
    notes: [
      `${number(restartMs / 1_000)} s after a kill -9 under load with ${number(lines.at(-1)!.size)} entries, a new post has been through its handler`,
    ],
    goals: [
      { what: 'cost of an entry flat within 20 %', met: worst <= 1.2 },
      { what: 'ready in under 5 s', met: restartMs < 5_000 },
      { what: 'resident memory under 300 MB', met: memory < 300 },
    ],
  }
}
