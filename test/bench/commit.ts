import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bitcoinOf } from '../bitcoin/machine.ts'
import type { RegtestNode } from '../bitcoin/node.ts'
import { scriptNumber, unsent, withNode } from './node.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number } from './report.ts'

const TITLE = 'commit: payments to a pool with `commit: always`, a real node beside it'

interface Run {
  /** from the first post until the handler has had the status `seen` of all, ms */
  seenMs: number
  calls: Record<string, number>
}

/** Measures how fast payments go to the network, and how soon they are known to be mined. */
export async function commit({ smoke }: Effort): Promise<Figures> {
  const [rounds, commits, mined] = smoke ? [1, 20, 50] : [5, 1_000, 10_000]
  const run = await withNode(async (node) => {
    const runs: Run[] = []
    for (let round = -1; round < rounds; round++) {
      const done = await broadcast(node, commits)
      if (round >= 0) runs.push(done) // the first warms up
    }
    return { runs, minedMs: await untilMined(node, mined) }
  })
  if ('lacks' in run) return { title: TITLE, rows: [['not measured']], goals: [], notes: [run.lacks] }
  const { runs, minedMs } = run.result
  const rate = median(runs.map(({ seenMs }) => (commits / seenMs) * 1_000))
  const calls = runs.map((each) => Object.values(each.calls).reduce((sum, count) => sum + count, 0) / commits)
  return {
    title: TITLE,
    rows: [
      ['', 'measured'],
      [`${number(commits)} payments posted at once: a second, from the first post until all are seen`, number(rate)],
      ['– requests to the node, each', number(median(calls))],
      [`${number(mined)} payments in one block: s from \`generate\` until the last one is mined`, number(minedMs / 1_000)],
    ],
    goals: [],
    notes: [
      `Medians of ${rounds} rounds, each with a new machine. Requests of the last one: ${Object.entries(runs.at(-1)!.calls)
        .map(([method, count]) => `${method} ${number(count)}`)
        .join(', ')}.`,
    ],
  }
}

async function withMachine<T>(node: RegtestNode, options: object, work: (program: Program) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const program = await Program.start('bitcoin', dir, JSON.stringify(bitcoinOf(node)))
  try {
    await program.ask('create', { path: 'shop', options })
    return await work(program)
  } finally {
    await program.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function broadcast(node: RegtestNode, count: number): Promise<Run> {
  const [first, ...transactions] = await unsent(node, count + 1, scriptNumber)
  return withMachine(node, { commit: 'always' }, async (program) => {
    await program.ask('post', { path: 'shop', hexes: [first!.hex] })
    await program.ask('when', { txid: first!.txid, word: 'seen' }) // it follows the chain
    const before = await program.ask<Record<string, number>>('calls')
    const began = BigInt(await program.ask<string>('post', { path: 'shop', hexes: transactions.map(({ hex }) => hex) }))
    const seenMs = Number(BigInt(await program.ask<string>('whenMany', { word: 'seen', count: count + 1 })) - began) / 1e6
    const after = await program.ask<Record<string, number>>('calls')
    return { seenMs, calls: Object.fromEntries(Object.entries(after).map(([method, all]) => [method, all - (before[method] ?? 0)])) }
  })
}

/** @returns ms from `generate` until the handler has had the status `mined` of all */
async function untilMined(node: RegtestNode, count: number): Promise<number> {
  const transactions = await unsent(node, count, scriptNumber)
  return withMachine(node, {}, async (program) => {
    await program.ask('post', { path: 'shop', hexes: transactions.map(({ hex }) => hex) })
    for (let from = 0; from < count; from += 500) {
      const some = transactions.slice(from, from + 500).map(({ hex }) => ({ hex, allowhighfees: true }))
      await node.rpc('sendrawtransactions', some)
    }
    await program.ask('whenMany', { word: 'seen', count })
    const began = process.hrtime.bigint()
    await node.generate(1)
    const at = BigInt(await program.ask<string>('whenMany', { word: 'mined', count }))
    return Number(at - began) / 1e6
  })
}
