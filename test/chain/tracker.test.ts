import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arcService } from '../../shared/broadcast/arc.ts'
import { Broadcaster } from '../../shared/broadcast/broadcaster.ts'
import { ownService } from '../../shared/broadcast/own.ts'
import { chainPoolOf, shardOfChainPool } from '../../shared/ledger/pool.ts'
import type { KeptStatus } from '../../shared/ledger/status.ts'
import { shardOf } from '../../shared/queue/shards.ts'
import type { Stores } from '../../shared/store/port.ts'
import { Tracker } from '../../sidecar/chain/tracker.ts'
import { recordedServer } from '../broadcast/recorded.ts'
import { SIDES, type Side } from '../contract/sides.ts'
import { HandClock } from '../hand-clock.ts'
import { until } from '../machine/machine.ts'

const LOOK_MS = 1_000
const MINUTE = 60_000

describe('the tracker', () => {
  let side: Side
  let stores: Stores
  beforeAll(async () => {
    side = await SIDES[0]![1]()
    stores = side.stores()
  })
  afterAll(() => side.close())

  /** A pool with statuses. */
  async function pool(path: string): Promise<void> {
    await stores.control.create({ path, kind: 'own', key: '00', discoveryKey: '00', createdAt: 0 })
    await stores.control.update(path, { hasStatuses: true })
  }

  async function tracker(clock: HandClock, owns: (path: string) => boolean, services = [ownService(async () => {})]): Promise<Tracker> {
    const ingress = await side.queue('ingress', { visibilityMs: MINUTE })
    const broadcaster = new Broadcaster({ services, stores, ingress, clock, knowsChain: true })
    return Tracker.start({ broadcaster, services, stores, clock, report: () => {}, knowsChain: true, owns, lookMs: LOOK_MS, askMs: MINUTE })
  }

  /** Winds the clock until the tracker has looked once more. */
  async function looksAfter(clock: HandClock, ms: number): Promise<void> {
    await until(
      async () => clock.sleeping,
      (sleeping) => sleeping.includes(LOOK_MS),
    )
    clock.wind(ms)
    await until(
      async () => clock.sleeping,
      (sleeping) => sleeping.includes(LOOK_MS),
    )
  }

  it('counts what was sent ten minutes ago and is not seen yet, in the pools of its shard', async () => {
    const of = (n: number): KeptStatus => ({ txid: String(n).padStart(64, '0'), seq: n, status: 'sent' })
    await pool('shop')
    await pool('other')
    await stores.statuses.put('shop', [of(1), of(2), { ...of(3), status: 'local', reason: 'its time has not come' }])
    await stores.statuses.put('other', [of(4)])
    const clock = new HandClock()
    const working = await tracker(clock, (path) => path === 'shop')
    await looksAfter(clock, 9 * MINUTE)
    expect(working.unseen).toBe(0)
    await looksAfter(clock, MINUTE)
    expect(working.unseen).toBe(2)
    await stores.statuses.put('shop', [{ ...of(2), seq: 5, status: 'seen' }])
    await looksAfter(clock, LOOK_MS)
    expect(working.unseen).toBe(1)
    await working.stop()
  })

  it('asks a service that says when to come back no sooner than that', async () => {
    await pool('busy')
    await stores.statuses.put('busy', [{ txid: 'a'.repeat(64), seq: 0, status: 'sent' }])
    const { url, requests } = await recordedServer(() => ({ status: 503, headers: { 'retry-after': '300' } }))
    const clock = new HandClock()
    const working = await tracker(clock, (path) => path === 'busy', [arcService({ url })])
    for (const [minutes, asked] of [
      [1, 1],
      [2, 1],
      [2, 1],
      [1, 2],
    ] as const) {
      await looksAfter(clock, minutes * MINUTE)
      expect(requests).toHaveLength(asked)
    }
    await working.stop()
  })
})

it('each shard keeps the blocks that it follows in a pool of its own', () => {
  for (const shard of [0, 1, 7]) {
    expect(shardOfChainPool(chainPoolOf(shard))).toBe(shard)
    expect(shardOf(chainPoolOf(shard), 8)).toBe(shard)
  }
  expect(chainPoolOf()).toBe('_chain')
  for (const path of ['chain', '_chain-', '_chains', 'shop']) expect(shardOfChainPool(path)).toBeUndefined()
})
