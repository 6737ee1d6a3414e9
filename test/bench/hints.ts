import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Subscriber } from 'zeromq'
import { bitcoinOf } from '../bitcoin/machine.ts'
import type { RegtestNode } from '../bitcoin/node.ts'
import { scriptNumber, unsent, withNode } from './node.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number, quantile } from './report.ts'

/** What becomes of a transaction that the network has just seen: by turns. */
const WAYS = [
  { name: 'an entry of a grid pool', word: 'tx' },
  { name: 'an entry of a pool that watches its script', word: 'tx' },
  { name: 'the status `seen` of a payment that was posted', word: 'seen' },
]
const TITLE =
  "a transaction comes to the network: ms from the node's ZMQ message, at a bare subscriber in another process, to the handler's call"

/** Measures how soon a handler is called with what the network sees. */
export async function hints(effort: Effort): Promise<Figures> {
  const run = await withNode((node) => measured(node, effort))
  if ('lacks' in run) return { title: TITLE, rows: [['not measured']], goals: [], notes: [run.lacks] }
  const rows = WAYS.map(({ name }, way) => row(name, run.result[way]!))
  const slowest = Math.max(...run.result.map(median))
  return {
    title: TITLE,
    rows: [['', 'p50', 'p90', 'p99'], ...rows],
    goals: [{ what: 'p50 under 10 ms', met: slowest < 10 }],
  }
}

function row(name: string, times: number[]): string[] {
  return [name, ...[0.5, 0.9, 0.99].map((q) => number(quantile(times, q)))]
}

async function measured(node: RegtestNode, { smoke }: Effort): Promise<number[][]> {
  const [warmUp, count] = smoke ? [1, 3] : [30, 300]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const program = await Program.start('bitcoin', dir, JSON.stringify(bitcoinOf(node)))
  const subscriber = new Subscriber({ linger: 0 })
  try {
    await program.ask('create', { path: 'grid', options: { grid: { chain: { filter: { scripts: [scriptNumber(0)] } } } } })
    await program.ask('create', { path: 'shop', options: { watch: { scripts: [scriptNumber(1)] } } })
    const transactions = await unsent(node, (warmUp + count) * WAYS.length, (i) => scriptNumber(i % WAYS.length))
    const posted = transactions.filter((_, i) => i % WAYS.length === 2)
    await program.ask('post', { path: 'shop', hexes: posted.map(({ hex }) => hex) })
    await program.ask('whenMany', { word: 'tx', count: posted.length })
    await program.ask('whenMany', { word: 'block', count: 1 })
    const arrivals = new Arrivals(subscriber, node.zmq)
    const times: number[][] = WAYS.map(() => [])
    for (const [i, { hex, txid }] of transactions.entries()) {
      const way = i % WAYS.length
      const called = program.ask<string>('when', { txid, word: WAYS[way]!.word })
      await node.rpc('sendrawtransaction', hex, true)
      const at = BigInt(await called)
      if (i < warmUp * WAYS.length) continue // the bare subscriber may miss the first ones, too
      times[way]!.push(Number(at - (await arrivals.of(hex))) / 1e6)
    }
    return times
  } finally {
    subscriber.close()
    await program.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** When the node's messages came (ns). */
class Arrivals {
  readonly #at = new Map<string, bigint>()
  #arrived = () => {}

  constructor(subscriber: Subscriber, address: string) {
    subscriber.subscribe('rawtx')
    subscriber.connect(address)
    void this.#read(subscriber)
  }

  async #read(subscriber: Subscriber): Promise<void> {
    for await (const [, payload] of subscriber) {
      const at = process.hrtime.bigint()
      this.#at.set(payload!.toString('hex'), at)
      this.#arrived()
    }
  }

  async of(hex: string): Promise<bigint> {
    while (!this.#at.has(hex)) await new Promise<void>((resolve) => (this.#arrived = resolve))
    return this.#at.get(hex)!
  }
}
