import { readdir, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Refusal } from '../functions/payments/door.ts'
import type { DoorAnswer } from '../functions/payments/http.ts'
import { entryAt } from '../shared/ledger/block.ts'
import { handlersOf } from '../shared/machine/health.ts'
import type { LedgerPools } from '../shared/machine/pools.ts'
import { nextEntry } from '../shared/machine/progress.ts'
import type { Stores } from '../shared/store/port.ts'
import type { Run } from '../shared/store/runs.ts'
import { folderLayout } from './folder.ts'
import { levelOf, type MachineReport } from './report.ts'

/** At most so many pools, and so many handlers, have a series of their own: the others are summed up as `other`. */
const MAX_POOLS = 100
const MAX_HANDLERS = 50
const OTHER = 'other'

/** Upper bounds, seconds. */
const ACK_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const RUN_BUCKETS = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300]

/** Where the state of the machine is read. */
export interface MetricsSources {
  dir: string
  pools: LedgerPools
  stores: Stores
  /** posts that were acknowledged and are not in the ledger yet */
  waiting: () => Promise<number>
  now: () => number
}

/** Counts what a machine does, for Prometheus. What can be read from the ledger is read when somebody asks. */
export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #posts: Counter<'pool'>
  readonly #refusals: Counter<'code'>
  readonly #ack: Histogram
  readonly #runs: Counter<'handler' | 'outcome'>
  readonly #runSeconds: Histogram<'handler'>
  readonly #problems: Counter<'kind' | 'level'>
  readonly #gauges: ReturnType<typeof gaugesIn>
  readonly #pools = new Names(MAX_POOLS)
  readonly #handlers = new Names(MAX_HANDLERS)
  #reading: Promise<string> | undefined

  constructor() {
    const registers = [this.#registry]
    this.contentType = this.#registry.contentType
    this.#posts = new Counter({
      name: 'overpool_posts_total',
      help: 'posts over HTTP that were acknowledged',
      labelNames: ['pool'],
      registers,
    })
    this.#refusals = new Counter({
      name: 'overpool_refusals_total',
      help: 'posts over HTTP that were refused, by the code of the error',
      labelNames: ['code'],
      registers,
    })
    this.#ack = new Histogram({
      name: 'overpool_ack_seconds',
      help: 'from the head of a post to its acknowledgement',
      buckets: ACK_BUCKETS,
      registers,
    })
    this.#runs = new Counter({
      name: 'overpool_runs_total',
      help: 'calls of handlers that have ended: ok, failed, given-up',
      labelNames: ['handler', 'outcome'],
      registers,
    })
    this.#runSeconds = new Histogram({
      name: 'overpool_run_seconds',
      help: 'how long calls of handlers took',
      labelNames: ['handler'],
      buckets: RUN_BUCKETS,
      registers,
    })
    this.#problems = new Counter({
      name: 'overpool_problems_total',
      help: 'lines of the log that say what went wrong, by their kind and level (warn, error)',
      labelNames: ['kind', 'level'],
      registers,
    })
    this.#gauges = gaugesIn(this.#registry)
  }

  /** Notes an answer of the door. @param ms from the head of the request to the answer */
  answered(method: string, path: string, { status, headers }: DoorAnswer, ms: number): void {
    const isPost = method === 'POST' && !path.startsWith('/_/')
    const isPaid = headers['x-bsv-payment-satoshis-paid'] !== undefined // a payment of HTTP 402 comes with any request
    if (status >= 300 || !(isPost || isPaid)) return
    this.#posts.inc({ pool: this.#pools.of(path.split('/').find((part) => part) ?? '') }) // the door knows this pool: it has taken the payment
    this.#ack.observe(ms / 1_000)
  }

  refused({ error }: Refusal): void {
    this.#refusals.inc({ code: error.code })
  }

  ran({ handler, outcome, ms }: Run): void {
    const name = this.#handlers.of(handler)
    this.#runs.inc({ handler: name, outcome })
    this.#runSeconds.observe({ handler: name }, ms / 1_000)
  }

  reported(report: MachineReport): void {
    const level = levelOf(report)
    if (level !== 'info') this.#problems.inc({ kind: report.kind, level })
  }

  /** All of it in Prometheus's text format. Those who ask at the same time get the same answer. */
  text(sources: MetricsSources): Promise<string> {
    this.#reading ??= this.#read(sources).finally(() => (this.#reading = undefined))
    return this.#reading
  }

  async #read(sources: MetricsSources): Promise<string> {
    for (const gauge of Object.values(this.#gauges)) gauge.reset()
    await Promise.all([this.#readPools(sources), this.#readChain(sources), this.#readDisk(sources)])
    this.#gauges.waiting.set(await sources.waiting())
    this.#gauges.memory.set(process.memoryUsage.rss())
    const { user, system } = process.cpuUsage()
    this.#gauges.cpu.set((user + system) / 1e6)
    return this.#registry.metrics()
  }

  async #readPools(sources: MetricsSources): Promise<void> {
    for (const { path, network, halted } of await sources.pools.list()) {
      const pool = this.#pools.of(path)
      const entries = await sources.pools.length(path)
      this.#gauges.entries.inc({ pool }, entries)
      if (network) this.#gauges.peers.inc({ pool }, network.peers)
      this.#gauges.halted.inc({ pool }, halted === undefined ? 0 : 1)
      await this.#readHandlers(path, pool, entries, sources)
    }
  }

  async #readHandlers(path: string, pool: string, entries: number, { stores, now }: MetricsSources): Promise<void> {
    for (const { handler, waiting, dead, stopped, paused } of await handlersOf(path, entries, stores)) {
      const labels = { handler: this.#handlers.of(handler), pool }
      this.#gauges.lag.inc(labels, Math.max(0, waiting))
      this.#gauges.dead.inc(labels, dead.length)
      this.#gauges.stopped.inc(labels, stopped === undefined ? 0 : 1)
      this.#gauges.paused.inc(labels, paused === undefined ? 0 : 1)
      const next = waiting > 0 ? await nextEntry(await stores.progress.readCursor(handler, path), path, stores) : undefined
      const block = next && (await stores.blocks.find(path, next.seq))
      const entry = block && entryAt(block, next.seq - block.first)
      this.#gauges.lagSeconds.inc(labels, entry ? Math.max(0, now() - entry.at) / 1_000 : 0)
    }
  }

  async #readChain({ pools, now }: MetricsSources): Promise<void> {
    const [pool] = await pools.chain()
    const { height, blockAt } = pool?.chain ?? {}
    if (height !== undefined) this.#gauges.height.set(height)
    if (blockAt !== undefined) this.#gauges.tipAge.set((now() - blockAt) / 1_000)
  }

  async #readDisk({ dir }: MetricsSources): Promise<void> {
    const { ledger, cores } = folderLayout(dir)
    const [main, log, coreBytes, { bavail, bsize }] = await Promise.all([
      sizeOf(ledger),
      sizeOf(`${ledger}-wal`),
      sizeOfFolder(cores),
      statfs(dirname(ledger)),
    ])
    this.#gauges.ledger.set(main)
    this.#gauges.wal.set(log)
    this.#gauges.cores.set(coreBytes)
    this.#gauges.free.set(bavail * bsize)
  }
}

/** The gauges that are set anew each time. One without labels that nobody sets is left out. */
function gaugesIn(registry: Registry) {
  const registers = [registry]
  const gauge = <L extends string>(name: string, help: string, labelNames: L[] = []) => {
    const made = new Gauge<L>({ name, help, labelNames, registers })
    const reset = () => {
      made.reset()
      if (!labelNames.length) made.remove() // otherwise it would be 0
    }
    return { inc: made.inc.bind(made), set: (value: number) => made.set(value), reset }
  }
  return {
    entries: gauge('overpool_pool_entries', 'entries of a pool', ['pool']),
    halted: gauge('overpool_pool_halted', '1 if the pool is halted', ['pool']),
    peers: gauge('overpool_network_peers', 'machines that are connected for a pool', ['pool']),
    lag: gauge('overpool_handler_lag_entries', 'entries that wait for a handler', ['handler', 'pool']),
    lagSeconds: gauge('overpool_handler_lag_seconds', 'since when the oldest of them waits', ['handler', 'pool']),
    dead: gauge('overpool_dead_letters', 'entries that a handler gave up', ['handler', 'pool']),
    stopped: gauge('overpool_handler_stopped', '1 if the handler has stopped at an entry (onPoison)', ['handler', 'pool']),
    paused: gauge('overpool_handler_paused', '1 if an operator has paused the handler', ['handler', 'pool']),
    waiting: gauge('overpool_ingress_posts', 'acknowledged posts that are not in the ledger yet'),
    height: gauge('overpool_chain_height_blocks', 'height of the newest block of the chain that was followed'),
    tipAge: gauge('overpool_chain_tip_age_seconds', 'since the time in that block'),
    ledger: gauge('overpool_ledger_bytes', 'size of the ledger’s file'),
    wal: gauge('overpool_wal_bytes', 'size of its write-ahead log'),
    cores: gauge('overpool_cores_bytes', 'size of the hypercores'),
    free: gauge('overpool_disk_free_bytes', 'what is free on the disk of the ledger'),
    memory: gauge('overpool_process_memory_bytes', 'resident memory of the process'),
    cpu: gauge('overpool_process_cpu_seconds', 'processor time of the process, user and system'),
  }
}

/** The values that a label may have. */
class Names {
  readonly #known = new Set<string>()
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  of(name: string): string {
    if (this.#known.has(name)) return name
    if (this.#known.size >= this.#most) return OTHER
    this.#known.add(name)
    return name
  }
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0 // the log may be gone
}

async function sizeOfFolder(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const sizes = await Promise.all(files.map(async (file) => (file.isFile() ? sizeOf(join(file.parentPath, file.name)) : 0)))
  return sizes.reduce((sum, size) => sum + size, 0)
}
