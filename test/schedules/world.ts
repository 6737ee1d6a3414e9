import { createHash } from 'node:crypto'
import { HandlerLoop } from '../../functions/handler/loop.ts'
import type { RunnerReport } from '../../functions/handler/report.ts'
import { type Answer, answerBell, type Receives } from '../../functions/handler/runner.ts'
import { type CheckedSettings, checkSettings } from '../../shared/config/config.ts'
import type { TxEntry } from '../../shared/ledger/kinds.ts'
import { type Bell, decodeBell, decodeIngress } from '../../shared/ledger/messages.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import type { Ingress, Outgoing, Queue, ReceiveOptions } from '../../shared/queue/port.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import type { Stores } from '../../shared/store/port.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import type { PoolCore } from '../../sidecar/cores/core.ts'
import type { SidecarReport } from '../../sidecar/report.ts'
import { DirectIngress } from '../../sidecar/writer/direct-ingress.ts'
import { IngressConsumer } from '../../sidecar/writer/ingress-consumer.ts'
import { Handlers } from './handler.ts'
import { Disk, MemoryCore, MemoryQueue, MemoryStores, type Restore } from './ports.ts'
import { Process, Scheduler, type Sync } from './scheduler.ts'
import { type Acknowledged, Users } from './users.ts'

const SWEEP_MS = 2_000
const INGRESS_VISIBILITY_MS = 3_000
/** The visibility timeout of a bell, and the time-out of the function that answers it. The second is shorter, so two functions never run at once (Promise 4). */
const BELL_VISIBILITY_MS = 12_000
const BELL_MS = 10_000
const TIMEOUT_MS = 5_000
/** Reads, and writes that the embedded machine does not sync (`Durability`). Bells are not among them: they get lost in other ways. */
const NOT_SYNCED =
  /^(has|get|treeHash|receive|delete|giveBack|blocks\.(read|last|find)|receipts\.\w+|control\.(read|list)|progress\.(read|list|write)\w+)$/
const ALL_HANDLERS = ['main', 'audit']

/** A sidecar or a runner in its process. */
interface Running {
  kind: 'sidecar' | 'runner'
  name: 'A' | 'B'
  process: Process
  /** of a runner: the bells in progress, as `handler pool`, each with the time at which its function ends, ms since 1970 */
  answering: Map<string, number>
  stop: () => Promise<unknown>
  /** of a sidecar: takes posts that are made in its process */
  ingress?: Ingress
  /** of a sidecar: sends bells for handlers that lag */
  ringAgain?: () => Promise<void>
  isStopping?: boolean
}

/** One machine: its services, which are never lost, and its processes, which start and end. All random choices come from the seed. */
export class World {
  readonly scheduler: Scheduler
  /** whether nothing fails in this world, so that no handler may run twice */
  readonly isFaultless: boolean
  /** the probability, at each step, that a process is killed or that a second one is started */
  readonly killChance: number
  readonly startChance: number
  readonly paths: string[]
  /** the handlers at work; another one can begin later */
  readonly handlers = ['main']
  readonly stores: MemoryStores
  readonly ingress: MemoryQueue
  readonly bells = new Map<string, MemoryQueue>()
  readonly users: Users
  readonly userHandlers: Handlers
  readonly running: Running[] = []
  kills = 0
  powerFailures = 0
  /** the first law that was broken */
  broken: string | undefined
  readonly #disks = { A: new Disk(), B: new Disk() }
  readonly #settings = new Map<string, CheckedSettings>()
  /** whether runners are functions, which are killed at their time-out */
  readonly #isLambda: boolean
  readonly #batchMs: number
  readonly #carryBytes: number
  readonly #processes: Process[] = []
  #failedAnswers = 0
  /** the number of puts, counted without faults, after which the writer dies; another writer must then find its block */
  #lastBlow: number
  /** undoes the writes since it was made, none of which was synced */
  #undo: Restore | undefined

  constructor(seed: number) {
    const scheduler = new Scheduler(seed)
    this.scheduler = scheduler
    this.isFaultless = scheduler.chance(0.05)
    scheduler.faulty = !this.isFaultless
    this.killChance = scheduler.pick([0.001, 0.01])
    this.startChance = scheduler.pick([0.005, 0.03])
    this.paths = scheduler.chance(0.5) ? ['a'] : ['a', 'b']
    this.#isLambda = !this.isFaultless && scheduler.chance(0.5)
    this.#batchMs = scheduler.pick([0, 0, 30])
    this.#carryBytes = scheduler.pick([0, 4_096])
    this.#lastBlow = this.isFaultless ? 0 : scheduler.below(4)
    scheduler.effected = (process, method) => {
      if (!NOT_SYNCED.test(method)) this.#undo = undefined
      const isPut = method === 'blocks.put'
      if (scheduler.fault(isPut ? 0.04 : 0.001) || (isPut && !scheduler.faulty && --this.#lastBlow === 0)) this.#dieWith(process)
    }

    this.stores = new MemoryStores(scheduler, (what) => this.break(what))
    this.ingress = new MemoryQueue(scheduler, {
      fifo: false,
      visibilityMs: INGRESS_VISIBILITY_MS,
      deleted: (body) => this.#checkDeleted(body),
    })
    const sent = ({ body, dedupe }: Outgoing) => {
      const { pool, n } = decodeBell(body)
      if (!dedupe?.startsWith(`${pool}:redrive:`) && !this.stores.hasReceipts(pool, n + 1))
        this.break(`a bell for block ${n} of ${pool} went out before the receipts`)
    }
    for (const handler of ALL_HANDLERS)
      this.bells.set(handler, new MemoryQueue(scheduler, { fifo: true, visibilityMs: BELL_VISIBILITY_MS, sent }))
    const maxAttempts = 1 + scheduler.below(5)
    for (const path of this.paths) {
      const key = createHash('sha256').update(path).digest('hex')
      this.stores.control.create({ kind: 'own', path, key, discoveryKey: key, createdAt: scheduler.now })
      const onPoison = scheduler.chance(0.7) ? 'skip' : 'stop'
      const unique = scheduler.chance(0.3) ? 'transaction' : 'payment'
      this.#settings.set(path, checkSettings({ maxAttempts, timeoutMs: TIMEOUT_MS, onPoison, unique }, path))
    }
    this.users = new Users(this)
    this.userHandlers = new Handlers({
      scheduler,
      dieWith: (process) => this.#dieWith(process),
      beginning: (...entry) => this.#checkOrder(...entry),
    })
  }

  // ---- posts in a sidecar's process, as in the embedded machine

  /** A running sidecar's process, to post in it; undefined if none runs. */
  get besideSidecar(): { process: Process; ingress: Ingress } | undefined {
    const sidecars = this.running.flatMap(({ process, ingress }) => (ingress ? [{ process, ingress }] : []))
    return sidecars.length ? this.scheduler.pick(sidecars) : undefined
  }

  // ---- laws that are checked while the schedule runs

  break(what: string): void {
    this.scheduler.trace?.(`BROKEN: ${what}`)
    this.broken ??= what
  }

  /** An acknowledged post must be in the mirror or the queue. */
  checkAcknowledged(pool: string, post: Acknowledged): void {
    if (!this.isIn(pool, post) && !this.ingress.rows.some(({ body }) => this.#standsFor(pool, decodeIngress(body), post)))
      this.break(`${post.id} of ${pool} was acknowledged before it was in the mirror or the queue`)
  }

  /** Whether a post is in the mirror, or an entry that stands for it. */
  isIn(pool: string, post: Acknowledged): boolean {
    return this.stores
      .pool(pool)
      .entries.some((entry) => this.#standsFor(pool, { id: entry.id, txid: scanTransaction((entry as TxEntry).tx).txid }, post))
  }

  /** In a pool that takes each transaction once, another post of the transaction stands for it. */
  #standsFor(pool: string, { id, txid }: { id: string; txid?: string }, post: Acknowledged): boolean {
    return id === post.id || (this.settings(pool).unique === 'transaction' && txid === post.txid)
  }

  #checkDeleted(body: Uint8Array): void {
    const { pool, id, txid = '' } = decodeIngress(body)
    if (!this.isIn(pool, { id, txid })) this.break(`a message left the ingress queue before its entry was in ${pool}`)
  }

  /** A handler may begin an entry only when it has finished all earlier ones or given up on them. */
  #checkOrder(handler: string, path: string, seq: number): void {
    for (let before = 0; before < seq; before++) {
      const run = `${handler} ${path} ${before}`
      if (!this.userHandlers.ended.has(run) && !this.stores.givenUp.has(run))
        this.break(`handler ${handler} began with ${path} #${seq} before #${before} was over`)
    }
  }

  #onReport(report: SidecarReport | RunnerReport): void {
    switch (report.kind) {
      case 'given-up':
      case 'stopped': {
        const { handler, pool, seq } = report
        // An attempt is a run, or a run that never began: its process died, the mirror was unreachable, or it answered so late that the bell came again.
        const attempts = this.userHandlers.runs(handler, pool, seq) + this.kills + this.#failedAnswers + this.bells.get(handler)!.again
        if (attempts < this.settings(pool).maxAttempts)
          this.break(`handler ${handler} gave up ${pool} #${seq} before its attempts were over`)
        break
      }
      case 'halted':
      case 'bad-message':
        this.break(`${report.kind}: ${(report.error as Error).stack}`)
        break
      case 'lost':
        this.break(`block ${report.n} of ${report.pool} is lost`)
    }
  }

  // ---- processes, and their views of the services

  process(name: string): Process {
    const process = new Process(`${name}${this.#processes.length + 1}`, this.scheduler)
    this.#processes.push(process)
    if (this.scheduler.fault(0.5)) process.skew = this.scheduler.below(4_000) - 2_000
    return process
  }

  settings(path: string): CheckedSettings {
    return this.#settings.get(path)!
  }

  storesOf(process: Process): Stores {
    const port = <Name extends keyof Stores>(name: Name) =>
      this.scheduler.port<Stores[Name]>(process, this.stores[name] as Sync<Stores[Name]>, { chance: 0.05, port: name })
    return {
      blocks: port('blocks'),
      receipts: port('receipts'),
      statuses: port('statuses'),
      control: port('control'),
      progress: port('progress'),
      state: port('state'),
      leases: port('leases'),
      ancestors: port('ancestors'),
      invoices: port('invoices'),
    }
  }

  queueOf(process: Process, queue: MemoryQueue): Queue {
    return this.scheduler.port<Queue>(process, queue, { chance: 0.08 }, (method, [options]) =>
      method === 'receive' ? queue.hold(options as ReceiveOptions) : undefined,
    )
  }

  poolsOf(process: Process, ingress: Ingress = this.queueOf(process, this.ingress)): LedgerPools {
    return new LedgerPools({
      stores: this.storesOf(process),
      ingress,
      clock: process.clock,
      settings: (path) => this.settings(path),
      postFailed: () => {},
    })
  }

  #coreOf(process: Process, path: string, disk: Disk): PoolCore {
    const core = new MemoryCore(path, disk, this.stores, (what) => this.break(what))
    const port = this.scheduler.port<PoolCore>(process, core, { chance: 0.03, own: true })
    return {
      get length() {
        return core.length
      },
      async append(from, blocks) {
        if (from !== core.length) throw new Error(`block ${from} cannot follow`)
        await port.append(from, blocks)
      },
      has: (n) => port.has(n),
      get: (n) => port.get(n),
      treeHash: (length) => port.treeHash(length),
      tree: () => core.tree(),
      close: () => port.close(),
    }
  }

  /** Starts sidecar or runner A or B, unless that one runs. */
  start(kind: Running['kind']): void {
    const name = this.scheduler.pick(['A', 'B'] as const)
    if (this.running.some((other) => other.kind === kind && other.name === name)) return
    const process = this.process(`${kind} ${name}`)
    const answering = new Map<string, number>()
    const methods = kind === 'sidecar' ? this.#startSidecar(process, this.#disks[name]) : this.#startRunner(process, answering)
    this.running.push({ kind, name, process, answering, ...methods })
  }

  #startSidecar(process: Process, disk: Disk): Pick<Running, 'stop' | 'ringAgain' | 'ingress'> {
    const bells = new Map([...this.bells].map(([handler, queue]) => [handler, this.queueOf(process, queue)]))
    const queue = this.queueOf(process, this.ingress)
    const consumer = IngressConsumer.start({
      stores: this.storesOf(process),
      ingress: queue,
      cores: {
        open: async (path) => this.#coreOf(process, path, disk),
        purge: () => Promise.reject(new Error('nothing is encrypted here')),
      },
      clock: process.clock,
      ringers: () => this.handlers.map((handler) => ({ handler, queue: bells.get(handler)!, carryBytes: this.#carryBytes })),
      report: (report) => this.#onReport(report),
      unique: (path) => this.settings(path).unique === 'transaction',
      batchMs: () => this.#batchMs,
      sweepMs: SWEEP_MS,
    })
    for (const path of this.paths) consumer.writer(path).catch(() => {})
    const ingress = new DirectIngress({ queue, consumer, soon: queueMicrotask })
    return { stop: () => consumer.stop(), ringAgain: () => consumer.bells.ringAgain(), ingress }
  }

  #startRunner(process: Process, answering: Running['answering']): Pick<Running, 'stop'> {
    const stores = this.storesOf(process)
    const pools = this.poolsOf(process)
    const alone = oneAfterTheOther()
    const answer = async (handler: string, bell: Bell, receives: Receives, stopping: AbortSignal): Promise<Answer> => {
      const name = `${handler} ${bell.pool}`
      if (answering.has(name)) this.break(`two bells of ${bell.pool} are answered side by side by handler ${handler} of one process`)
      answering.set(name, this.scheduler.now + BELL_MS)
      try {
        return await answerBell(bell, this.stores.pool(bell.pool).control, receives, process.clock.elapsed() + BELL_MS, {
          ...this.settings(bell.pool),
          handler,
          stores,
          clock: process.clock,
          report: (report) => this.#onReport(report),
          functions: { tx: (event, state) => this.userHandlers.handle(handler, event, pools, state, process) },
          retryMs: 200,
          retryMostMs: 5_000,
          alone,
          turn: async () => {}, // here only the scheduler decides when code goes on
          stopping,
        })
      } finally {
        answering.delete(name)
      }
    }
    const loops = ALL_HANDLERS.map((handler) =>
      HandlerLoop.start({
        queue: this.queueOf(process, this.bells.get(handler)!),
        clock: process.clock,
        report: () => void this.#failedAnswers++,
        answer: (...bell) => answer(handler, ...bell),
      }),
    )
    return { stop: () => Promise.all(loops.map((loop) => loop.stop())) }
  }

  /** Adds another handler, which must get every entry from the first one on. */
  beginAudit(): void {
    if (this.handlers.length < ALL_HANDLERS.length) this.handlers.push('audit')
    for (const { ringAgain } of this.running) void ringAgain?.()
  }

  // ---- ends

  kill(running: Running): void {
    this.kills++
    this.scheduler.trace?.(`${running.process.name} is killed`)
    this.#end(running)
    if (running.kind === 'runner') return
    const disk = this.#disks[running.name]
    if (this.scheduler.fault(0.3)) disk.wipe()
    else if (this.scheduler.fault(0.2)) disk.cut(this.scheduler)
  }

  #end(running: Running): void {
    this.running.splice(this.running.indexOf(running), 1)
    this.scheduler.kill(running.process)
  }

  /** Takes a snapshot: until the next synced write, a power failure undoes everything since this moment. */
  noteForPowerFailure(): void {
    const restores = [this.stores, this.ingress, ...this.bells.values()].map((service) => service.note())
    this.#undo = () => {
      for (const restore of restores) restore()
    }
  }

  /** Kills everything at once, and undoes the writes since the snapshot. */
  powerFails(): void {
    if (!this.#undo) return
    this.scheduler.trace?.('the power fails')
    while (this.running.length) this.kill(this.running[0]!)
    for (const process of this.#processes) this.scheduler.kill(process) // doors and operators
    this.scheduler.forgetTheDead()
    this.#undo()
    this.#undo = undefined
    this.powerFailures++
  }

  #dieWith(process: Process): void {
    const running = this.running.find((other) => other.process === process)
    if (running) this.kill(running)
  }

  /** Stops a process in order, without killing it. */
  stop(running: Running): void {
    if (running.isStopping) return
    running.isStopping = true
    void running.stop().then(() => {
      if (this.running.includes(running)) this.#end(running)
    })
  }

  /** Kills functions that reached their time-out, and starts a sidecar and a runner if none runs. */
  keepUp(): void {
    const { now } = this.scheduler
    if (this.#isLambda) {
      const late = this.running.filter(({ answering }) => [...answering.values()].some((until) => until <= now))
      for (const running of late) this.kill(running)
    }
    for (const kind of ['sidecar', 'runner'] as const) if (!this.running.some((one) => one.kind === kind)) this.start(kind)
  }

  // ---- rest

  get isStopped(): boolean {
    return this.handlers.some((handler) => this.paths.some((path) => this.stores.progress.readCursor(handler, path).stopped !== undefined))
  }

  /** Describes open work; undefined if there is none. */
  get unrest(): string | undefined {
    if (this.users.postsLeft) return `${this.users.postsLeft} posts are to come`
    if (this.ingress.rows.length) return `the ingress queue was not drained: ${this.ingress.rows.length} messages`
    for (const path of this.paths) {
      const { control, blocks, entries } = this.stores.pool(path)
      if (control.checkpoint < blocks.length) return `the checkpoint of ${path} is ${control.checkpoint} of ${blocks.length}`
      if (control.coreLength < blocks.length) return `the core of ${path} is reported at ${control.coreLength} of ${blocks.length} blocks`
      for (const handler of this.handlers) {
        const { seq, redrive, redriveSome, stopped } = this.stores.progress.readCursor(handler, path)
        if (stopped !== undefined) return `handler ${handler} is stopped at ${path} #${seq + 1}`
        if (seq < entries.length - 1) return `handler ${handler} has come to ${path} #${seq} of ${entries.length}`
        if ((redrive ?? redriveSome) !== undefined) return `handler ${handler} has not yet tried again what it gave up in ${path}`
      }
    }
    for (const [handler, { rows }] of this.bells) if (rows.length) return `${rows.length} bells of handler ${handler} are left`
    return undefined
  }
}
