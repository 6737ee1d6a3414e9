import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Logger } from '@aws-lambda-powertools/logger'
import { Bucket } from '../shared/aws/bucket.ts'
import { parallel } from '../shared/aws/call.ts'
import { AwsClients } from '../shared/aws/clients.ts'
import { AwsQueues } from '../shared/aws/queues.ts'
import { readSecret } from '../shared/aws/secrets.ts'
import { openStores } from '../shared/aws/stores.ts'
import { concernsBroadcaster } from '../shared/broadcast/broadcaster.ts'
import { awsSecrets } from '../shared/broadcast/secret.ts'
import { systemClock } from '../shared/clock.ts'
import { readEnv } from '../shared/config/env.ts'
import { takes } from '../shared/config/handlers.ts'
import { BROADCASTER, type MachinePlan } from '../shared/config/plan.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { ScannedEntry } from '../shared/ledger/scanned.ts'
import { printable } from '../shared/printed.ts'
import { shardOf } from '../shared/queue/shards.ts'
import { CARRY_BYTES } from '../shared/queue/sqs.ts'
import { Repeats } from '../shared/repeats.ts'
import { PlannedBitcoin } from './bitcoin.ts'
import type { Tracker } from './chain/tracker.ts'
import { beat } from './heartbeat.ts'
import { LEASE_MS, Lease } from './lease.ts'
import { lineOf, type SidecarReport } from './report.ts'
import { readSecretSeed } from './seed.ts'
import { Sidecar } from './sidecar.ts'

/** How many pools of the config are opened at a time at the start. */
const CONFIGURED_TOGETHER = 8
/** Receives and deletes of the ingress queue are gathered for this time, ms: SQS bills by the request. */
const GATHER_MS = 50
/** A pool with twenty posts a second or more gathers its next block for 200 ms: handlers are called up to that much later, at two thirds of the price. */
const BUSY = { entries: 4, ms: 200 }
/** Every check costs requests on AWS. How often to sweep for other writers' blocks and lost bells, and to check the desired state, ms. */
const SWEEP_MS = 30_000
const LOOK_MS = 5_000
/** How often it looks for invoices that have expired, ms. */
const EXPIRY_MS = 10_000
/** Work under way has this time to finish after SIGTERM, ms: ECS kills the task after 60 s (cdk/sidecar.ts). */
const STOP_MS = 50_000

// The container of one shard. While it holds the lease it writes the shard's posts into the ledger, signs the hypercores and speaks to the swarm.
const env = readEnv('sidecar')
const log = new Logger({ serviceName: 'sidecar', jsonReplacerFn: printable })
const shards = Number(env.SHARDS)
const index = Number(env.SHARD)
const owns = (pool: string) => shardOf(pool, shards) === index
const plan = JSON.parse(env.MACHINE) as MachinePlan
const pools = Object.keys(plan.pools).filter(owns)
const disk = env.WORK_DIR ?? '/work'
mkdirSync(disk, { recursive: true })

process.on('uncaughtException', (error) => {
  log.error('failed', error)
  process.exit(1)
})
const stopping = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    endWithin(STOP_MS)
    stopping.abort()
  })
}

/** Ends the process after `ms` even if something hangs, so that the next one need not wait. */
function endWithin(ms: number): void {
  setTimeout(() => process.exit(1), ms).unref()
}

const clients = new AwsClients({ endpoint: env.AWS_ENDPOINT_URL })
const bucket = new Bucket(clients, env.BUCKET)
const stores = openStores(clients, env.TABLE, bucket)
const queues = new AwsQueues(clients, bucket)
const ingress = queues.open(env.INGRESS_URL, { gatherMs: GATHER_MS })
const handlers = plan.handlers.map((handler) => ({ handler, queue: queues.open(handler.url) }))
const broadcaster = plan.broadcaster && { commits: plan.broadcaster.commits, queue: queues.open(plan.broadcaster.url) }

const reports = new Repeats<[details: Record<string, string>]>((line, details) => log.warn(line, details))
const startedAt = Date.now()
let blocks = 0
let entries = 0
function report(said: SidecarReport): void {
  if (said.kind === 'block') {
    blocks++
    entries += said.entries
  }
  const line = lineOf(said)
  if (line !== undefined) reports.say(line, { kind: said.kind, ...('pool' in said && said.pool && { pool: said.pool }) })
}

/** What the tokens of callbacks are made of. It is not derived from the seed, which the door must not know. */
async function callbackSecret(): Promise<string> {
  if (env.CALLBACKS_ARN === undefined) throw new OverpoolError('BAD_CONFIG', 'the environment lacks CALLBACKS_ARN')
  return readSecret(clients, env.CALLBACKS_ARN, `the secret ${env.CALLBACKS_ARN}`)
}

let sidecar: Sidecar | undefined
let tracker: Tracker | undefined
const heart = beat(join(disk, 'alive'), systemClock, () => {
  const moves = sidecar?.moves ?? true // while it waits for the lease it counts as moving
  const mb = Math.round(process.memoryUsage.rss() / 1e6)
  const working = sidecar !== undefined
  return { moves, report: () => log.info('alive', { kind: 'alive', working, blocks, entries, mb, ...(working && ofBitcoin()) }) }
})

/** What the alarms on Bitcoin listen to (cdk/alarms.ts): the age of the newest block, and transactions that were sent and not seen. */
function ofBitcoin(): { blockAgeS?: number; unseen?: number } {
  const follows = bitcoin?.chain.sources.length
  return {
    ...(follows && { blockAgeS: Math.max(0, Math.round((Date.now() - (sidecar?.newestBlockAt ?? startedAt)) / 1_000)) }),
    ...(tracker && { unseen: tracker.unseen }),
  }
}

const seed = await readSecretSeed(clients, env.SEED_ARN) // before the lease: a task that cannot work leaves it to the one that does
const read = (id: string, what: string) => readSecret(clients, id, what)
const bitcoin =
  plan.bitcoin &&
  (await PlannedBitcoin.open({
    plan,
    secretOf: awsSecrets(read),
    callbackSecret: await callbackSecret(),
    owns,
    warn: (sentence) => report({ kind: 'advice', pool: '', sentence }),
  }))
const owner = randomUUID()
const retrying = (error: unknown) => report({ kind: 'retrying', pool: '', step: 'lease', error })
const leaseMs = Number(env.LEASE_MS ?? LEASE_MS)
const lease = await Lease.acquire({ stores, clock: systemClock, shard: env.SHARD, owner, leaseMs, report: retrying }, stopping.signal)
if (lease) {
  const lost = lease.lost.then(() => {
    log.error('the lease is lost: another sidecar works, or the mirror cannot be reached', { kind: 'lease-lost' })
    endWithin(lease.graceMs)
    process.exitCode = 1
  })
  const opened = await Sidecar.open({
    stores,
    ingress,
    clock: systemClock,
    seed,
    seedPlace: env.SEED_ARN,
    cores: join(disk, 'cores'),
    network: plan.network,
    pools: pools.filter((path) => !plan.pools[path]!.grid),
    chain: bitcoin?.chain,
    ringers: (pool) => [
      ...handlers
        .filter(({ handler }) => takes(handler, pool))
        .map(({ handler, queue }) => ({ handler: handler.name, queue, carryBytes: CARRY_BYTES })),
      ...(broadcaster && pool.kind === 'own'
        ? [
            {
              handler: BROADCASTER,
              queue: broadcaster.queue,
              carryBytes: CARRY_BYTES,
              wants: (entries: ScannedEntry[]) => concernsBroadcaster(entries, broadcaster.commits.includes(pool.path)),
            },
          ]
        : []),
    ],
    unique: (pool) => plan.pools[pool] && plan.pools[pool].unique === 'transaction',
    batchMs: (pool) => plan.pools[pool] && (plan.pools[pool].batchMs ?? 0),
    report,
    shard: { index, owns },
    busy: BUSY,
    sweepMs: SWEEP_MS,
    lookMs: LOOK_MS,
    ...(plan.asks && { expiryMs: EXPIRY_MS }),
  })
  sidecar = opened
  tracker = bitcoin?.track({ stores, ingress: opened.ingress, clock: systemClock, report })
  const work = async () => {
    await parallel(pools, CONFIGURED_TOGETHER, async (path) =>
      opened.configure(await opened.make(path, plan.pools[path]!.grid ? 'chain' : 'own'), plan.pools[path]!),
    )
    await opened.syncSubscriptions(plan)
    await opened.ringAgain()
    log.info('working', { kind: 'working', machine: opened.id, pools: pools.length })
    await lost
  }
  // After SIGTERM or a lost lease it opens no further pools: that may take long.
  if (!stopping.signal.aborted) await Promise.race([work(), lost, once(stopping.signal, 'abort')])
  await tracker?.stop()
  await opened.close()
  await Promise.all([ingress.close(), broadcaster?.queue.close(), ...handlers.map(({ queue }) => queue.close())])
  await lease.release()
}
heart.stop()
reports.end()
log.info('stopped', { kind: 'stopped' })
process.exit()
