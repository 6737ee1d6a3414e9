import { entryAt } from '../../shared/ledger/block.ts'
import { type HandlerHealth, handlersOf, problemsOf, unseenIn } from '../../shared/machine/health.ts'
import { statusOf } from '../../shared/machine/status.ts'
import { allStatuses } from '../../shared/store/statuses.ts'
import type { StudioMachine } from '../machine.ts'
import type { HandlerRow, NetworkPage, Overview, PoolRow } from '../shapes.ts'
import type { RouteDeps, Routes } from './route.ts'

/** So many open transactions are listed. */
const MAX_OPEN = 200

export const overviewRoutes: Routes = {
  'GET overview': (_, deps) => overviewOf(deps),
  'GET network': (_, deps) => networkOf(deps),
}

/** The machine as it is now. */
export async function overviewOf({ machine, place, now }: RouteDeps): Promise<Overview> {
  const { pools, stores, ingress } = machine
  const [controls, statuses, chain, depth] = await Promise.all([pools.list(), statusOf(pools), pools.chain(), ingress.depth()])
  const byPath = new Map(statuses.map((status) => [status.path, status]))
  const problems = chain.flatMap((pool) => problemsOf(pool, []))
  const rows = await Promise.all(
    controls.map(async (control): Promise<PoolRow | undefined> => {
      const { path, key, kind, prunedBefore, createdAt } = control
      const status = byPath.get(path)
      if (!status) return undefined // it was made between the two questions: the next answer has it
      const handlers = await handlersOf(path, status.entries, stores)
      problems.push(...problemsOf(control, handlers))
      const { network, key: _key, path: _path, allow: _allow, begins: _begins, ...shown } = status
      return {
        path,
        key,
        kind,
        prunedBefore,
        createdAt,
        ...shown,
        ...(network && { peers: network.peers, announced: network.announced }),
        ...(network?.verifiedAt !== undefined && { verifiedAt: network.verifiedAt }),
        ...(network?.problem !== undefined && { networkProblem: network.problem }),
        handlers: await Promise.all(handlers.map((handler) => handlerRow(machine, path, handler))),
      }
    }),
  )
  return {
    at: now(),
    isRunning: machine.isRunning,
    place,
    doors: machine.doors,
    ingress: depth,
    pools: rows.filter((row) => row !== undefined),
    chain: chain.map(({ path, chain: state, halted }) => ({ path, ...state, ...(halted !== undefined && { halted }) })),
    problems,
  }
}

async function handlerRow({ stores }: StudioMachine, path: string, { dead, ...handler }: HandlerHealth): Promise<HandlerRow> {
  const { waiting, done } = handler
  const block = waiting ? await stores.blocks.find(path, done) : undefined
  const oldest = block && entryAt(block, done - block.first)
  return { ...handler, ...(oldest && { since: oldest.at }), dead: dead.length }
}

/** Who this machine is, and which transactions the network has not settled. */
async function networkOf({ machine, now }: RouteDeps): Promise<NetworkPage> {
  const { pools, stores } = machine
  const open: NetworkPage['open'] = []
  const problems: string[] = []
  for (const pool of await pools.list()) {
    if (!pool.hasStatuses) continue
    problems.push(...(await unseenIn(pool, stores, now())))
    for await (const { txid, seq, status, by, reason } of allStatuses((after) => stores.statuses.open(pool.path, after))) {
      if (open.length >= MAX_OPEN) break
      open.push({ path: pool.path, txid, seq, status, ...(by !== undefined && { by }), ...(reason !== undefined && { reason }) })
    }
  }
  // A machine whose seed this user may not read has its key all the same: the page goes on without it.
  const ids = await machine.ids().catch(() => [])
  return { ids, broadcasts: pools.broadcasts, open, problems }
}
