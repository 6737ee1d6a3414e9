import { createHash } from 'node:crypto'
import type { TxEvent } from '../../functions/handler/event.ts'
import { HandlerLoop } from '../../functions/handler/loop.ts'
import { Pools } from '../../functions/handler/pools.ts'
import { redrive } from '../../functions/handler/redrive.ts'
import type { RunnerReport } from '../../functions/handler/report.ts'
import { answerBell } from '../../functions/handler/runner.ts'
import { accept } from '../../functions/payments/accept.ts'
import { checkPayment } from '../../shared/bip270/payment.ts'
import { type CheckedSettings, checkSettings } from '../../shared/config.ts'
import { decodeBell, decodeIngress } from '../../shared/ledger/messages.ts'
import type { Mirror } from '../../shared/mirror/port.ts'
import type { Outgoing, Queue } from '../../shared/queue/port.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import type { PoolCore } from '../../sidecar/core.ts'
import type { SidecarReport } from '../../sidecar/report.ts'
import { Sidecar } from '../../sidecar/sidecar.ts'
import { Disk, MemoryCore, MemoryMirror, MemoryQueue } from './ports.ts'
import { Process, Scheduler } from './scheduler.ts'

const SWEEP_MS = 2_000
const INGRESS_VISIBILITY_MS = 3_000
/** A bell's visibility, and the time of a function that answers it: the second is shorter, so that two never run side by side (Promise 4). */
const BELL_VISIBILITY_MS = 12_000
const BELL_MS = 10_000
const TIMEOUT_MS = 5_000
/** A handler that takes so long is slower than the margin in which a runner writes its cursor: only `receives > 1` moves it on. */
const SLOW_MS = 4_000
const ALL_HANDLERS = ['main', 'audit']
/** Follow-ups of an entry that loops. */
const MAX_HOPS = 2

/** What a payment asks of the handler, as JSON in its memo. */
interface Wish {
  /** tells payments apart */
  n: number
  /** post one follow-up into this pool */
  loop?: string
  /** how it posts: and awaits it, does not await it, gives the post a name, or posts another transaction at each run */
  how?: 'await' | 'forget' | 'name' | 'fickle'
  /** throw at every run, before or after the post, or take the process with it */
  poison?: 'before' | 'after' | 'kill'
  slow?: boolean
  /** return no promise, if there is nothing to post */
  sync?: boolean
}

/** A sidecar or a runner in its process. */
interface Running {
  kind: 'sidecar' | 'runner'
  name: string
  process: Process
  /** when a function's time is up, ms since 1970: for each bell that is being answered */
  deadlines: Set<{ at: number }>
  /** rings for handlers that lag, if it is a sidecar */
  ringAgain?: () => Promise<void>
  stop: () => Promise<unknown>
  stopping?: boolean
}

/** A payment that a wallet or a program posts. */
interface Post {
  pool: string
  wish: Wish
  source: 'http' | 'api' | 'named'
}

/** One machine with all its processes, services and users, under one schedule. */
export class World {
  readonly scheduler: Scheduler
  readonly mirror: MemoryMirror
  readonly ingress: MemoryQueue
  readonly bells = new Map<string, MemoryQueue>()
  readonly disks = { A: new Disk(), B: new Disk() }
  readonly paths: string[]
  /** those at work; another may begin later */
  readonly handlers = ['main']
  /** ids of the posts whose poster was told that they are held */
  readonly acknowledged = new Map<string, string>()
  /** runs of handlers that were begun, in their order, and those that came to their end; as `handler pool seq` */
  readonly begun: string[] = []
  readonly ended = new Set<string>()
  readonly running: Running[] = []
  kills = 0
  /** the first law that was broken */
  broken: string | undefined
  /** nothing fails in this world, so nothing may run twice */
  readonly faultless: boolean
  /** how often a process is killed, and one started beside it, at a step */
  readonly killChance: number
  readonly startChance: number
  readonly #hasLoops: boolean
  readonly #settings: Map<string, CheckedSettings>
  readonly #maxPosts: number
  readonly #isLambda: boolean
  readonly #batchMs: number
  readonly #carryBytes: number
  readonly #posts: Post[] = []
  #processes = 0
  #failedAnswers = 0
  /** entries whose handler did not look whether its post failed, and one did */
  readonly #failedPosts = new Set<string>()
  /** when all is quiet, the writer that makes the so-manieth put dies after it; if there is another, that one must find the block */
  #lastBlow: number

  constructor(seed: number) {
    const scheduler = (this.scheduler = new Scheduler(seed))
    const { chance, pick } = { chance: (of: number) => scheduler.chance(of), pick: <T>(from: T[]) => scheduler.pick(from) }
    this.faultless = chance(0.05)
    this.paths = chance(0.5) ? ['a'] : ['a', 'b']
    this.killChance = pick([0.001, 0.01])
    this.startChance = pick([0.005, 0.03])
    this.#hasLoops = chance(0.75)
    this.#lastBlow = this.faultless ? 0 : scheduler.below(4)
    const maxAttempts = 1 + scheduler.below(5)
    this.#settings = new Map(
      this.paths.map((path) => [
        path,
        checkSettings({ maxAttempts, timeoutMs: TIMEOUT_MS, onPoison: chance(0.7) ? 'skip' : 'stop' }, path),
      ]),
    )
    this.#maxPosts = 4 + scheduler.below(12)
    this.#isLambda = !this.faultless && chance(0.5)
    this.#batchMs = pick([0, 0, 30])
    this.#carryBytes = pick([0, 4_096])

    this.mirror = new MemoryMirror(scheduler, (what) => this.break(what))
    this.ingress = new MemoryQueue(scheduler, {
      fifo: false,
      visibilityMs: INGRESS_VISIBILITY_MS,
      deleted: (body) => {
        const { pool, id } = decodeIngress(body)
        if (!this.mirror.pool(pool).entries.some((entry) => entry.id === id))
          this.break(`a message left the ingress queue before its entry was in ${pool}`)
      },
    })
    const sent = ({ body, dedupe }: Outgoing) => {
      const { pool, n } = decodeBell(body)
      if (!dedupe?.startsWith(`${pool}:redrive:`) && !this.mirror.hasReceipts(pool, n + 1))
        this.break(`a bell for block ${n} of ${pool} went out before the receipts`)
    }
    for (const handler of ALL_HANDLERS)
      this.bells.set(handler, new MemoryQueue(scheduler, { fifo: true, visibilityMs: BELL_VISIBILITY_MS, sent }))
    for (const path of this.paths) {
      const key = createHash('sha256').update(path).digest('hex')
      this.mirror.createPool({ path, key, discoveryKey: key, createdAt: scheduler.now })
    }
    scheduler.faulty = !this.faultless
    scheduler.effected = (process, method) => {
      if (scheduler.fault(method === 'putBlock' ? 0.04 : 0.001)) this.#dieWith(process)
      else if (!scheduler.faulty && method === 'putBlock' && --this.#lastBlow === 0) this.#dieWith(process)
    }
  }

  break(what: string): void {
    this.scheduler.trace?.(`BROKEN: ${what}`)
    this.broken ??= what
  }

  // ---- processes

  #process(name: string): Process {
    const process = new Process(`${name}${++this.#processes}`, this.scheduler)
    if (this.scheduler.fault(0.5)) process.skew = this.scheduler.below(4_000) - 2_000
    return process
  }

  #mirrorOf(process: Process): Mirror {
    return this.scheduler.port<Mirror>(process, this.mirror, { chance: 0.05 })
  }

  #queueOf(process: Process, queue: MemoryQueue): Queue {
    return this.scheduler.port<Queue>(process, queue, { chance: 0.08 }, (method, args) =>
      method === 'receive' ? queue.hold(...(args as never as [never])) : undefined,
    )
  }

  #poolsOf(process: Process): Pools {
    return new Pools({
      mirror: this.#mirrorOf(process),
      ingress: this.#queueOf(process, this.ingress),
      clock: process.clock,
      settings: (path) => this.#settings.get(path)!,
      postFailed: () => {},
    })
  }

  /** Starts a process of this kind and name, if none runs. */
  start(kind: Running['kind'], name: string): void {
    if (this.running.some((other) => other.kind === kind && other.name === name)) return
    const process = this.#process(name)
    const deadlines: Running['deadlines'] = new Set()
    const methods = kind === 'sidecar' ? this.#startSidecar(process, this.disks[name as 'A']) : this.#startRunner(process, deadlines)
    this.running.push({ kind, name, process, deadlines, ...methods })
  }

  #startSidecar(process: Process, disk: Disk): Pick<Running, 'stop' | 'ringAgain'> {
    const mirror = this.#mirrorOf(process)
    const bells = new Map([...this.bells].map(([handler, queue]) => [handler, this.#queueOf(process, queue)]))
    const sidecar = new Sidecar({
      mirror,
      ingress: this.#queueOf(process, this.ingress),
      cores: {
        open: async (path) => this.#coreOf(process, path, disk),
        purge: () => Promise.reject(new Error('nothing is encrypted here')),
      },
      clock: process.clock,
      ringers: () => this.handlers.map((handler) => ({ handler, queue: bells.get(handler)!, carryBytes: this.#carryBytes })),
      report: (report) => this.#heard(report),
      batchMs: () => this.#batchMs,
      sweepMs: SWEEP_MS,
    })
    for (const path of this.paths) sidecar.writer(path).catch(() => {})
    return { stop: () => sidecar.stop(), ringAgain: () => sidecar.ringAgain() }
  }

  #coreOf(process: Process, path: string, disk: Disk): PoolCore {
    const core = new MemoryCore(path, disk, this.mirror, (what) => this.break(what))
    const port = this.scheduler.port<PoolCore>(process, core, { chance: 0.03, own: true })
    return {
      get length() {
        return core.length
      },
      async append(from, blocks) {
        if (from !== core.length) throw new Error(`block ${from} cannot follow`)
        await port.append(from, blocks)
      },
      get: (n) => port.get(n),
      treeHash: (length) => port.treeHash(length),
      close: () => port.close(),
    }
  }

  #startRunner(process: Process, deadlines: Running['deadlines']): Pick<Running, 'stop'> {
    const mirror = this.#mirrorOf(process)
    const pools = this.#poolsOf(process)
    const answering = new Set<string>()
    const stopping = new AbortController()
    const loops = ALL_HANDLERS.map(
      (handler) =>
        new HandlerLoop({
          queue: this.#queueOf(process, this.bells.get(handler)!),
          clock: process.clock,
          report: () => void this.#failedAnswers++,
          answer: async (bell, receives) => {
            const deadline = { at: this.scheduler.now + BELL_MS }
            deadlines.add(deadline)
            if (answering.has(`${handler} ${bell.pool}`))
              this.break(`two bells of ${bell.pool} are answered side by side by handler ${handler} of one process`)
            answering.add(`${handler} ${bell.pool}`)
            const { maxAttempts, onPoison, timeoutMs } = this.#settings.get(bell.pool)!
            try {
              return await answerBell(bell, this.mirror.pool(bell.pool).control, receives, process.clock.now() + BELL_MS, {
                handler,
                mirror,
                clock: process.clock,
                report: (report) => this.#heard(report),
                onTx: (event) => this.#handle(handler, event, pools, process),
                maxAttempts,
                onPoison,
                timeoutMs,
                retryMs: 200,
                retryMostMs: 5_000,
                stopping: stopping.signal,
              })
            } finally {
              deadlines.delete(deadline)
              answering.delete(`${handler} ${bell.pool}`)
            }
          },
        }),
    )
    const stop = () => {
      stopping.abort()
      return Promise.all(loops.map((loop) => loop.stop()))
    }
    return { stop }
  }

  #heard(report: SidecarReport | RunnerReport): void {
    if (report.kind === 'given-up' || report.kind === 'stopped') {
      const run = `${report.handler} ${report.pool} ${report.seq}`
      // An attempt is a run, or one that was about to be made when its process died, or the mirror was away.
      const attempts = this.begun.filter((other) => other === run).length + this.kills + this.#failedAnswers
      if (attempts < this.#settings.get(report.pool)!.maxAttempts)
        this.break(`handler ${report.handler} gave up ${report.pool} #${report.seq} before its attempts were over`)
    }
    if (report.kind === 'halted' || report.kind === 'bad-message' || report.kind === 'bad-block') {
      const error = report.error as Error
      this.break(`${report.kind}: ${error.stack}`)
    }
  }

  /** Another handler begins: it is to hear of every entry from the first one on. */
  beginAudit(): void {
    if (this.handlers.length < ALL_HANDLERS.length) this.handlers.push('audit')
    for (const { ringAgain } of this.running) void ringAgain?.()
  }

  kill(running: Running): void {
    this.kills++
    this.scheduler.trace?.(`${running.process.name} is killed`)
    this.running.splice(this.running.indexOf(running), 1)
    this.scheduler.kill(running.process)
    if (running.kind === 'runner') return
    const disk = this.disks[running.name as 'A']
    if (this.scheduler.fault(0.3)) disk.wipe()
    else if (this.scheduler.fault(0.2)) disk.cut(this.scheduler)
  }

  stop(running: Running): void {
    if (running.stopping) return
    running.stopping = true
    void running.stop().then(() => {
      if (this.running.includes(running)) this.running.splice(this.running.indexOf(running), 1)
    })
  }

  // ---- the handler

  #handle(handler: string, event: TxEvent, pools: Pools, process: Process): unknown {
    const run = `${handler} ${event.path} ${event.seq}`
    const wish = JSON.parse(event.payment.memo!) as Wish
    if (!this.begun.includes(run)) this.#checkOrder(handler, event)
    this.begun.push(run)
    const end = () => void this.ended.add(run)
    const posts = handler === 'main' && wish.loop !== undefined && event.hops < MAX_HOPS
    if (wish.sync && !posts && !wish.slow && wish.poison !== 'kill') {
      if (wish.poison || this.scheduler.fault(0.1)) throw new Error('the handler fails')
      return end()
    }
    return this.#run(event, wish, posts, pools, process).then(end)
  }

  /** An entry's turn comes when all before it are finished or given up. */
  #checkOrder(handler: string, { path, seq }: TxEvent): void {
    for (let before = 0; before < seq; before++) {
      const run = `${handler} ${path} ${before}`
      if (!this.ended.has(run) && !this.mirror.givenUp.has(run))
        this.break(`handler ${handler} began with ${path} #${seq} before #${before} was over`)
    }
  }

  async #run(event: TxEvent, wish: Wish, posts: boolean, pools: Pools, process: Process): Promise<void> {
    const { scheduler } = this
    if (wish.slow) await process.clock.sleep(SLOW_MS)
    if (wish.poison === 'before' || scheduler.fault(0.05)) throw new Error('the handler fails')
    if (posts) await this.#postNext(event, wish, pools)
    if (wish.poison === 'after' || scheduler.fault(0.05)) throw new Error('the handler fails after its post')
    if (wish.poison === 'kill' || scheduler.fault(0.02)) this.#dieWith(process)
    if (process.dead || scheduler.fault(0.02)) await new Promise(() => {})
  }

  #dieWith(process: Process): void {
    const running = this.running.find((other) => other.process === process)
    if (running) this.kill(running)
  }

  async #postNext(event: TxEvent, wish: Wish, pools: Pools): Promise<void> {
    const next: Wish = { ...wish, poison: undefined }
    const text = `${event.key.slice(0, 8)} ${event.seq} ${wish.how === 'fickle' ? this.scheduler.below(1_000) : ''}`
    const payment = { transaction: sampleTransaction(text), memo: JSON.stringify(next) }
    const posting = pools.post({ path: wish.loop!, payment, id: wish.how === 'name' ? text : undefined })
    if (wish.how === 'forget') posting.catch(() => this.#failedPosts.add(`${event.path} ${event.seq}`))
    else await posting
  }

  /** Entries that follow one, as its handler asked for: as many as there must be, or at most. */
  followUps({ path, seq }: { path: string; seq: number }): { exactly: boolean; count: number } {
    const entry = this.mirror.pool(path).entries[seq]!
    const wish = JSON.parse(entry.payment.memo!) as Wish
    if (wish.loop === undefined || entry.hops >= MAX_HOPS) return { exactly: true, count: 0 }
    const isSure = this.ended.has(`main ${path} ${seq}`) && !this.#failedPosts.has(`${path} ${seq}`)
    return { exactly: isSure, count: 1 }
  }

  // ---- wallets, programs, and the operator

  /** A new post, or an old one again as a wallet does that has not heard. */
  post(): void {
    const { scheduler } = this
    if (this.#posts.length && scheduler.fault(0.3)) this.#send(scheduler.pick(this.#posts))
    else if (this.postsLeft) this.#postNew()
  }

  #postNew(): void {
    const { scheduler } = this
    const how = scheduler.pick(['await', 'await', 'forget', 'name', 'fickle'] as const)
    const wish: Wish = {
      n: this.#posts.length,
      ...(this.#hasLoops && scheduler.chance(0.7) && { loop: scheduler.pick(this.paths), how }),
      ...(scheduler.chance(0.08) && { poison: scheduler.pick(['before', 'after', this.faultless ? 'after' : 'kill'] as const) }),
      ...(scheduler.chance(0.1) && { slow: true }),
      sync: scheduler.chance(0.3),
    }
    const post: Post = { pool: scheduler.pick(this.paths), wish, source: scheduler.pick(['http', 'http', 'api', 'named'] as const) }
    this.#posts.push(post)
    this.#send(post)
  }

  #send({ pool, wish, source }: Post): void {
    const process = this.#process('door')
    const payment = { transaction: sampleTransaction(`payment ${wish.n}`), memo: JSON.stringify(wish) }
    const posting =
      source === 'http'
        ? accept(
            { path: pool, ...this.#settings.get(pool)! },
            checkPayment(payment),
            { source },
            { ingress: this.#queueOf(process, this.ingress), now: process.clock.now },
          )
        : this.#poolsOf(process).post({ path: pool, payment, id: source === 'named' ? `named ${wish.n}` : undefined })
    posting.then(
      ({ id }) => this.acknowledged.set(id, pool),
      () => {},
    )
  }

  get postsLeft(): number {
    return this.#maxPosts - this.#posts.length
  }

  /** Has a handler try again what it gave up, or pass over where it stopped. */
  operate(): void {
    const path = this.scheduler.pick(this.paths)
    const handler = this.scheduler.pick(this.handlers)
    const process = this.#process('operator')
    const { stopped } = this.mirror.readCursor(handler, path)
    if (stopped === undefined && !this.mirror.listDead(handler, path).length) return
    const skip = stopped !== undefined && this.scheduler.chance(0.5)
    const deps = { mirror: this.#mirrorOf(process), bells: this.#queueOf(process, this.bells.get(handler)!), clock: process.clock }
    redrive(handler, path, skip, deps).catch(() => {})
  }

  get isStopped(): boolean {
    return this.handlers.some((handler) => this.paths.some((path) => this.mirror.readCursor(handler, path).stopped !== undefined))
  }

  /** What is left to be done, in words, if there is something. */
  get unrest(): string | undefined {
    if (this.postsLeft) return `${this.postsLeft} posts are to come`
    if (this.ingress.rows.length) return `the ingress queue was not drained: ${this.ingress.rows.length} messages`
    for (const path of this.paths) {
      const { control, blocks, entries } = this.mirror.pool(path)
      if (control.checkpoint < blocks.length) return `the checkpoint of ${path} is ${control.checkpoint} of ${blocks.length}`
      if (control.coreLength < blocks.length) return `the core of ${path} is reported at ${control.coreLength} of ${blocks.length} blocks`
      for (const handler of this.handlers) {
        const { seq, redrive, stopped } = this.mirror.readCursor(handler, path)
        if (stopped !== undefined) return `handler ${handler} is stopped at ${path} #${seq + 1}`
        if (seq < entries.length - 1) return `handler ${handler} has come to ${path} #${seq} of ${entries.length}`
        if (redrive !== undefined) return `handler ${handler} has not yet tried again what it gave up in ${path}`
      }
    }
    for (const [handler, { rows }] of this.bells) if (rows.length) return `${rows.length} bells of handler ${handler} are left`
    return undefined
  }

  /** Functions whose time is up are ended. */
  endLate(): void {
    if (!this.#isLambda) return
    const { now } = this.scheduler
    for (const running of this.running.filter(({ deadlines }) => [...deadlines].some(({ at }) => at <= now))) this.kill(running)
  }
}
