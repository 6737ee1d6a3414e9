import { OverpoolError } from '../../shared/errors.ts'
import type { LedgerEvent } from '../../shared/ledger/event.ts'
import { cut } from '../../shared/printed.ts'
import { turn } from '../../shared/turn.ts'
import type { StudioMachine } from '../machine.ts'
import type { Trail, TrailNode } from '../shapes.ts'
import { rowOf } from './entries.ts'
import { numberIn, type Routes, textIn } from './route.ts'

/** Consequences are looked for in this many entries of each pool after the one that was asked for. */
const MAX_LOOKED = 10_000
/** Nodes of a graph, and steps back to where it began. */
const MAX_NODES = 150
const MAX_CAUSES = 100
/** Clocks of the pools of other machines may be this far behind, ms. */
const CLOCKS_MS = 60_000
const MAX_LABEL = 60

export const trailRoutes: Routes = {
  'GET trail': ({ query }, { machine }) => trailOf(machine, textIn(query, 'pool'), numberIn(query, 'seq')),
}

type Caused = Pick<LedgerEvent, 'key' | 'seq'>

/** What an entry was posted for, back to where the loop began, and what was posted for it. */
async function trailOf(machine: StudioMachine, path: string, seq: number): Promise<Trail> {
  const { pools } = machine
  const paths = new Map((await pools.list()).map((pool) => [pool.key, pool.path]))
  const asked = await at(machine, path, seq)
  if (!asked) throw new OverpoolError('ENTRY_NOT_FOUND', `"${path}" has no entry #${seq} that is not archived`)

  const causes: LedgerEvent[] = []
  const seen = new Set([nameOf(asked)])
  let { cause } = asked
  while (cause && causes.length < MAX_CAUSES && !seen.has(nameOf(cause))) {
    seen.add(nameOf(cause)) // a peer may claim that an entry is its own cause
    const causePath = paths.get(cause.key)
    const event: LedgerEvent | undefined = causePath === undefined ? undefined : await at(machine, causePath, cause.seq)
    if (!event) break
    causes.push(event)
    cause = event.cause
  }

  const { byCause, isCut } = await consequencesAfter(machine, asked)
  const nodes: TrailNode[] = []
  for (const event of causes.toReversed()) nodes.push(nodeOf(event, nodes.length ? nodes.length - 1 : undefined))
  const root = nodes.length
  nodes.push(nodeOf(asked, root ? root - 1 : undefined))
  let isFull = false
  for (let place = root; place < nodes.length; place++)
    for (const next of byCause.get(nameOf(nodes[place]!)) ?? []) {
      if (seen.has(nameOf(next))) continue
      if (nodes.length >= MAX_NODES) isFull = true
      else {
        seen.add(nameOf(next))
        nodes.push({ ...next, parent: place })
      }
    }
  return { nodes, root, isCauseElsewhere: cause !== undefined, isCut: isCut || isFull }
}

/** Entries after this one that something was posted for, by the name of their cause. */
async function consequencesAfter(
  { pools }: StudioMachine,
  asked: LedgerEvent,
): Promise<{ byCause: Map<string, TrailNode[]>; isCut: boolean }> {
  const byCause = new Map<string, TrailNode[]>()
  let isCut = false
  for (const { path, key, kind } of await pools.list()) {
    if (kind === 'chain') continue // its entries come from the chain, and have no cause
    const end = await pools.length(path)
    const from = key === asked.key ? asked.seq + 1 : await firstSince(pools, path, end, asked.at - CLOCKS_MS)
    const to = Math.min(end, from + MAX_LOOKED)
    isCut ||= to < end
    for await (const event of pools.read({ path, from, to, kinds: 'all' })) {
      if (event.seq % 500 === 0) await turn()
      if (event.cause && event.kind !== 'status')
        byCause.set(nameOf(event.cause), [...(byCause.get(nameOf(event.cause)) ?? []), nodeOf(event)])
    }
  }
  return { byCause, isCut }
}

/** The number of the first entry of a pool that was accepted at this time or later; times hardly ever go back. */
async function firstSince(pools: StudioMachine['pools'], path: string, end: number, time: number): Promise<number> {
  let [low, high] = [0, end]
  while (low < high) {
    const middle = (low + high) >> 1
    let seq = end
    let isLater = true
    for await (const event of pools.read({ path, from: middle, to: high, kinds: 'all' })) {
      seq = event.seq
      isLater = event.at >= time
      break
    }
    if (isLater) high = middle
    else low = seq + 1
  }
  return low
}

async function at({ pools }: StudioMachine, path: string, seq: number): Promise<LedgerEvent | undefined> {
  for await (const event of pools.read({ path, from: seq, to: seq + 1, kinds: 'all' })) return event
  return undefined
}

function nameOf({ key, seq }: Caused): string {
  return `${key}#${seq}`
}

function nodeOf(event: LedgerEvent, parent?: number): TrailNode {
  const { path, key } = event
  const { seq, at, kind, txid, memo, data, says } = rowOf(event)
  const label = cut(memo ?? data ?? says ?? '', MAX_LABEL)
  return { path, key, seq, at, kind, ...(txid !== undefined && { txid }), label, ...(parent !== undefined && { parent }) }
}
