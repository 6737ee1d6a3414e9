import { entryAt } from '../ledger/block.ts'
import { shardOfChainPool } from '../ledger/pool.ts'
import { UNSEEN_MS } from '../ledger/status.ts'
import type { PoolControl } from '../store/control.ts'
import type { Stores } from '../store/port.ts'
import type { DeadLetter } from '../store/progress.ts'
import { allStatuses } from '../store/statuses.ts'
import { nextEntry } from './progress.ts'
import type { PoolStatus } from './status.ts'

/** How far a handler has come in a pool. */
export interface HandlerHealth {
  handler: string
  /** entries that it has finished, and those that wait for it */
  done: number
  waiting: number
  /** failed attempts at the next entry, which is tried again; left out if there are none */
  attempts?: number
  /** why it stopped (`onPoison: 'stop'`), and at which entry */
  stopped?: string
  stoppedAt?: number
  /** why an operator has paused it, and since when, ms since 1970 */
  paused?: string
  pausedAt?: number
  dead: DeadLetter[]
}

/** The state of each handler that has worked on a pool. */
export async function handlersOf(pool: string, entries: number, stores: Stores): Promise<HandlerHealth[]> {
  const handlers = await stores.progress.listHandlers(pool)
  return Promise.all(handlers.map((handler) => handlerOf(handler, pool, entries, stores)))
}

async function handlerOf(handler: string, pool: string, entries: number, stores: Stores): Promise<HandlerHealth> {
  const [cursor, dead] = await Promise.all([stores.progress.readCursor(handler, pool), stores.progress.listDead(handler, pool)])
  const { seq, attempts, stopped, paused, pausedAt } = cursor
  const next = stopped === undefined ? undefined : await nextEntry(cursor, pool, stores)
  return {
    handler,
    done: seq + 1,
    waiting: entries - seq - 1,
    ...(attempts && { attempts }),
    ...(stopped !== undefined && { stopped, stoppedAt: next?.seq ?? seq + 1 }),
    ...(paused !== undefined && { paused, pausedAt }),
    dead,
  }
}

/** A pool as its control item or its status describes it. */
type CheckedPool = Pick<PoolControl, 'path' | 'halted' | 'network' | 'desired' | 'chain'> &
  Partial<Pick<PoolStatus, 'published' | 'subscribed'>>

/** What an operator has to look at in a pool and its handlers, a sentence each; none if all is well. */
export function problemsOf({ path, halted, network, desired, chain, ...pool }: CheckedPool, handlers: HandlerHealth[]): string[] {
  const isInNetwork = desired?.publish || desired?.subscribe || pool.published || pool.subscribed
  return [
    ...(halted === undefined ? [] : [`pool ${path} is halted: ${halted}`]),
    ...(network?.problem === undefined || !isInNetwork ? [] : [`pool ${path} is not in the network: ${network.problem}`]),
    ...(chain?.problem === undefined ? [] : [`${chainOf(path)} since ${timeOf(chain.since)}: ${chain.problem}`]),
    ...handlers.flatMap((state) => handlerProblems(path, state)),
  ]
}

function chainOf(path: string): string {
  return shardOfChainPool(path) === undefined ? `pool ${path} has taken nothing from the chain` : 'the chain has not been followed'
}

/** Transactions of a pool that were sent long ago and that the network does not have, as a sentence. */
export async function unseenIn({ path, hasStatuses }: PoolControl, { statuses, blocks }: Stores, now: number): Promise<string[]> {
  if (!hasStatuses) return []
  const unseen: string[] = []
  for await (const { txid, status, seq } of allStatuses((after) => statuses.open(path, after))) {
    if (status !== 'sent') continue
    const block = await blocks.find(path, seq)
    const entry = block && entryAt(block, seq - block.first)
    if (entry && entry.at < now - UNSEEN_MS) unseen.push(txid)
  }
  const others = unseen.length > 1 ? `, and ${unseen.length - 1} more` : ''
  return unseen.length
    ? [
        `pool ${path}: ${unseen[0]}${others} was sent over ten minutes ago, and the network has not seen it: \`overpool get ${path} ${unseen[0]}\` shows who took it`,
      ]
    : []
}

function reasonIn(reason: string): string {
  return reason && `: ${reason}`
}

function timeOf(ms = 0): string {
  return new Date(ms).toISOString()
}

function handlerProblems(pool: string, { handler, attempts, stopped, stoppedAt, paused, pausedAt, done, dead }: HandlerHealth): string[] {
  if (paused !== undefined)
    return [
      `handler ${handler} has been paused in ${pool} at #${done} since ${timeOf(pausedAt)}${reasonIn(paused)}; \`overpool unpause ${pool} --handler ${handler}\` lets it go on`,
    ]
  if (stopped !== undefined) return [`handler ${handler} stopped at ${pool} #${stoppedAt}: ${stopped}`]
  return [
    ...(attempts ? [`handler ${handler} fails at ${pool} #${done}, and tries it again (failed attempts: ${attempts})`] : []),
    ...(dead.length
      ? [
          `handler ${handler} gave up ${dead.length === 1 ? 'an entry' : `${dead.length} entries`} of ${pool}, the last one #${dead.at(-1)!.seq}: ${dead.at(-1)!.error}`,
        ]
      : []),
  ]
}
