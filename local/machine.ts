import { accessSync, constants, existsSync } from 'node:fs'
import { Feeds } from '../functions/events/feed.ts'
import type { FollowedPool } from '../functions/events/follow.ts'
import { Followers } from '../functions/events/followers.ts'
import { broadcasterFunctions } from '../functions/handler/broadcaster.ts'
import { HandlerLoop } from '../functions/handler/loop.ts'
import { keepConsoleLines } from '../functions/handler/run-console.ts'
import { answerBell, type Receives } from '../functions/handler/runner.ts'
import { watchForBlocking } from '../functions/handler/watchdog.ts'
import { catchLateErrors } from '../functions/late.ts'
import type { Refusal } from '../functions/payments/door.ts'
import { isLoopback } from '../functions/payments/loopback.ts'
import { MAX_PAYMENT_BYTES } from '../shared/bip270/payment.ts'
import { Broadcaster, concernsBroadcaster } from '../shared/broadcast/broadcaster.ts'
import { atMost } from '../shared/clock.ts'
import { askingIn } from '../shared/config/asking.ts'
import { type BitcoinSettings, checkGrid, type GridSettings } from '../shared/config/bitcoin.ts'
import {
  type CheckedSettings,
  checkPath,
  checkSettings,
  type NetworkSettings,
  type OverpoolConfig,
  type PoolConfig,
  type PoolSettings,
} from '../shared/config/config.ts'
import { BROADCASTER } from '../shared/config/plan.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { Bell } from '../shared/ledger/messages.ts'
import type { PoolName } from '../shared/ledger/pool.ts'
import type { ScannedEntry } from '../shared/ledger/scanned.ts'
import type { LogFormat } from '../shared/log.ts'
import type { PoolDoor } from '../shared/machine/accept.ts'
import type { MachineControl } from '../shared/machine/control.ts'
import { Copies } from '../shared/machine/copies.ts'
import { type AnyFunctions, bindFunctions, type HandlerOptions } from '../shared/machine/handlers.ts'
import type { Invoicing } from '../shared/machine/invoicing.ts'
import { knownOf } from '../shared/machine/known.ts'
import { type Machine, type Pools, poolsOf } from '../shared/machine/machine.ts'
import { LedgerPools } from '../shared/machine/pools.ts'
import { bellsOf, pause, redriveAll, unpause } from '../shared/machine/progress.ts'
import { checkRunsQuery } from '../shared/machine/runs.ts'
import { paySecretOf } from '../shared/paywall/payee.ts'
import { type Paywall, paywallsOf } from '../shared/paywall/paywall.ts'
import type { Ingress, Queue } from '../shared/queue/port.ts'
import { oneAfterTheOther } from '../shared/retry.ts'
import type { PoolControl } from '../shared/store/control.ts'
import type { Run, RunsQuery } from '../shared/store/runs.ts'
import { type Grid, gridOf, watchedBy } from '../sidecar/chain/grids.ts'
import { Tracker } from '../sidecar/chain/tracker.ts'
import { Sidecar } from '../sidecar/sidecar.ts'
import { type BitcoinParts, openBitcoin } from './bitcoin.ts'
import { checkFileLimit, explained } from './explain.ts'
import { folderLayout, hasLedger, lockFolder, readSeed, writeRunning } from './folder.ts'
import { invoicingIn } from './invoicing.ts'
import { Metrics } from './metrics.ts'
import { BELL_MS, type Ports, sqlitePorts } from './ports.ts'
import type { MachineReport } from './report.ts'
import { type LocalDoor, type LocalServer, listen } from './server.ts'
import { StudioDoor, servesStudio } from './studio.ts'

/** Wait after a failed attempt, ms, doubling up to the most. */
const RETRY_MS = 200
const RETRY_MOST_MS = 30_000
/** Running handlers have this time to finish when the machine closes, ms. Unfinished entries run again at the next start. */
const CLOSE_MS = 10_000

/** A handler. Its functions may be replaced: an entry under way finishes on the old code. */
export interface Handler {
  readonly name: string
  functions: AnyFunctions
  options?: HandlerOptions
  /** whether it is rung for a block with these entries (default: for each block) */
  wants?: (pool: string, entries: ScannedEntry[]) => boolean
  /** whether it is called with the entries of a pool */
  takes: (pool: PoolName) => boolean
}

interface WorkingHandler {
  handler: Handler
  queue: Queue
  loop: HandlerLoop
}

/** Runs one after the other the pools of a handler that has one state for all. */
type InTurn = ReturnType<typeof oneAfterTheOther>

export interface MachineOptions {
  /** the machine's folder */
  dir: string
  report: (report: MachineReport) => void
  /** called with the payments that a door refused */
  refused?: (refusal: Refusal) => void
  /** of the line with which the process ends, because code blocks it or fails (default 'plain') */
  logFormat?: LogFormat
  /** settings of the peer-to-peer network, used once a pool is published or subscribed to */
  network?: NetworkSettings
  /** settings of pools that are not created yet: their posts may wait in the queue, and are written at once */
  settings?: (path: string) => CheckedSettings | undefined
  /** how it takes part in Bitcoin; without it nothing is broadcast, and no chain is read */
  bitcoin?: BitcoinSettings
  /** where wallets reach it, and the xpub of the wallet that money comes to */
  reached?: Pick<OverpoolConfig, 'url' | 'receive'>
  /** the ports to use, default: the SQLite file in the folder */
  ports?: (dir: string) => Promise<Ports>
}

/** Reports, and counts what is reported. */
function counted(report: MachineOptions['report'], metrics: Metrics): MachineOptions['report'] {
  return (said) => {
    metrics.reported(said)
    report(said)
  }
}

/** How often the machine looks for transactions to ask about, and the wait before the first question, ms. */
const TRACK_MS = 1_000
const ASK_MS = 2_000
/** How often it looks for blocks without a hint, ms. */
const CHAIN_LOOK_MS = 10_000
/** How often it looks for invoices that have expired, ms. */
const EXPIRY_MS = 1_000
/** Followers of all doors: so many that as many connections are left for those who pay (http-connections.ts). */
const MAX_FOLLOWERS = 1_500
/** How often their feeds look for blocks, should one not have been reported, ms. */
const FEED_LOOK_MS = 5_000

/** How many entries the page of a pool shows. */
const PAGE_ENTRIES = 10

const DEFAULT_SETTINGS = checkSettings({}, '')

/** The embedded machine: door, sidecar and handlers in one process, over one folder. The caller that opens it closes it. */
export class EmbeddedMachine implements Machine {
  readonly pools: LedgerPools
  readonly control: MachineControl
  /** the pools, as handlers get them */
  readonly #handlersPools: Pools
  readonly #options: MachineOptions
  readonly #ports: Ports
  readonly #lock: { release: () => void }
  readonly #sidecar: Sidecar
  /** the ingress for posts of this process */
  readonly #ingress: Ingress
  readonly #invoicing: Invoicing
  /** of its doors */
  #urlsNow: string[] = []
  readonly #copies: Copies
  readonly #feeds: Feeds
  readonly #followers = new Followers({ most: MAX_FOLLOWERS })
  readonly #settings: Map<string, CheckedSettings>
  readonly #handlers: Map<string, WorkingHandler>
  readonly #bitcoin: BitcoinParts | undefined
  readonly #paySecret: string
  readonly #paywall: (pool: string) => Paywall
  /** the pools whose entries come from the chain */
  readonly #grids: Map<string, Grid>
  /** stopped handlers that still run their last entry */
  readonly #ending = new Map<string, Promise<void>>()
  readonly #stopping = new AbortController()
  readonly #alone = oneAfterTheOther()
  readonly #metrics: Metrics
  #broadcaster: Broadcaster | undefined
  #tracker: Tracker | undefined
  readonly #doors = new Map<string, { server: Promise<LocalServer>; paths: Set<string>; others: Set<string> }>()
  readonly #studio: StudioDoor

  /** Opens a folder; FOLDER_IN_USE while another machine runs in it. Unfinished work of an earlier process goes on. */
  static async open(given: MachineOptions): Promise<EmbeddedMachine> {
    const metrics = new Metrics()
    const options = { ...given, report: counted(given.report, metrics) }
    const { dir } = options
    checkFileLimit()
    const lock = lockFolder(dir)
    let close = async () => lock.release()
    try {
      const isNew = !hasLedger(dir)
      const { cores } = folderLayout(dir)
      if (existsSync(cores)) accessSync(cores, constants.W_OK) // hypercore would name no user
      const seed = readSeed(dir, isNew)
      const bitcoin =
        options.bitcoin && (await openBitcoin(options.bitcoin, seed, (sentence) => options.report({ kind: 'advice', pool: '', sentence })))
      const ports = await (options.ports ?? sqlitePorts)(dir)
      close = () => ports.close().finally(lock.release)
      const settings = new Map<string, CheckedSettings>()
      const settingsOf = (pool: string) => settings.get(pool) ?? options.settings?.(pool)
      const handlers = new Map<string, WorkingHandler>()
      const grids = new Map<string, Grid>()
      let wrote = (_pool: string): void => {}
      const { stores, ingress, clock, carryBytes } = ports
      const sidecar = await Sidecar.open({
        stores,
        ingress,
        clock,
        seed,
        seedPlace: folderLayout(dir).seed,
        cores,
        network: options.network ?? {},
        chain: bitcoin && {
          sources: bitcoin.sources,
          network: bitcoin.network,
          grids: () => [...grids.values()],
          watched: watchedBy((path) => settingsOf(path)?.watch),
          lookMs: CHAIN_LOOK_MS,
          invoices: askingIn(options).watches,
        },
        unique: (pool) => {
          const known = settingsOf(pool)
          return known && known.unique === 'transaction'
        },
        batchMs: (pool) => settingsOf(pool)?.batchMs,
        expiryMs: EXPIRY_MS,
        report: (said) => {
          options.report(said)
          if (said.kind === 'block') wrote(said.pool)
        },
        ringers: (pool) =>
          [...handlers.values()]
            .filter(({ handler }) => handler.takes(pool))
            .map(({ handler, queue }) => ({
              handler: handler.name,
              queue,
              carryBytes,
              ...(handler.wants && { wants: (entries: ScannedEntry[]) => handler.wants!(pool.path, entries) }),
            })),
      })
      const machine = new EmbeddedMachine(options, metrics, lock, ports, sidecar, settings, handlers, grids, bitcoin, seed)
      close = () => machine.close()
      wrote = (pool) => machine.#feeds.wrote(pool)
      await machine.#beginBroadcasting()
      machine.#noteRunning([])
      catchLateErrors(options.logFormat)
      if (ports.runs) keepConsoleLines()
      watchForBlocking(options.logFormat)
      return machine
    } catch (error) {
      await close()
      throw explained(error, dir)
    }
  }

  private constructor(
    options: MachineOptions,
    metrics: Metrics,
    lock: { release: () => void },
    ports: Ports,
    sidecar: Sidecar,
    settings: Map<string, CheckedSettings>,
    handlers: Map<string, WorkingHandler>,
    grids: Map<string, Grid>,
    bitcoin: BitcoinParts | undefined,
    seed: Uint8Array,
  ) {
    const { stores, clock, direct } = ports
    this.#ingress = direct ? sidecar.ingress : ports.ingress
    this.#options = options
    this.#lock = lock
    this.#ports = ports
    this.#sidecar = sidecar
    this.#settings = settings
    this.#handlers = handlers
    this.#grids = grids
    this.#bitcoin = bitcoin
    const paySecret = paySecretOf(seed)
    this.#paySecret = paySecret
    this.#paywall = paywallsOf(async () => paySecret, { network: bitcoin?.network ?? 'main', now: clock.now })
    this.control = sidecar.control
    this.#copies = new Copies(stores.receipts, this.#ingress)
    const { dir, reached } = options
    this.#invoicing = invoicingIn({ dir, seed: () => seed, stores, now: clock.now, receive: reached?.receive, ...askingIn(options) })
    this.pools = new LedgerPools({
      stores,
      ingress: this.#ingress,
      copies: this.#copies,
      clock,
      settings: (path) => settings.get(path) ?? DEFAULT_SETTINGS,
      broadcasts: (bitcoin?.services.length ?? 0) > 0,
      invoicing: { invoicing: this.#invoicing, base: () => reached?.url ?? this.#urlsNow[0] },
      postFailed: (error) => options.report({ kind: 'post-failed', error }),
    })
    this.#handlersPools = poolsOf(this)
    this.#metrics = metrics
    this.#feeds = new Feeds({
      blocks: stores.blocks,
      control: (path) => this.pools.control(path),
      clock,
      lookMs: FEED_LOOK_MS,
      failed: (error) => options.report({ kind: 'retrying', pool: '', step: 'the events of a pool', error }),
    })
    const urls = () => this.#urlsNow
    const bells = (name: string) => handlers.get(name)?.queue
    const bellsIn = async (path: string, name: string) => {
      await this.pools.control(path)
      return bellsOf(name, path, { stores, bells })
    }
    this.#studio = new StudioDoor(dir, (error) => options.report({ kind: 'studio', error }), {
      pools: this.pools,
      stores,
      ingress: this.#ingress,
      isRunning: true,
      get doors() {
        return urls()
      },
      ids: async () => [sidecar.id],
      changed: ports.changed ?? clock.sleep,
      redrive: async (path, redriven) => {
        await this.pools.control(path)
        return redriveAll(path, redriven, { stores, bells, clock })
      },
      pause: async (path, handler, reason) => {
        await bellsIn(path, handler)
        await pause(handler, path, reason, { stores, clock })
      },
      unpause: async (path, handler) => unpause(handler, path, { stores, bells: await bellsIn(path, handler), clock }),
      ...(ports.runs && { runs: (query: RunsQuery) => this.runs(query) }),
    })
  }

  /** Starts the built-in handler that hands transactions to the network, and what asks after them. */
  async #beginBroadcasting(): Promise<void> {
    const { report } = this.#options
    const bitcoin = this.#bitcoin
    if (!bitcoin?.services.length) return
    const { stores, clock } = this.#ports
    const { services, sources, callback } = bitcoin
    const knowsChain = sources.length > 0
    this.#broadcaster = new Broadcaster({ services, stores, ingress: this.#ingress, clock, knowsChain, callback })
    // After a restart there are payments to broadcast before the program has created their pools again.
    const committing = new Set((await stores.control.list()).flatMap(({ path, settings }) => (settings?.commits ? [path] : [])))
    const policy = (pool: string) => this.#known(pool)?.commit ?? (committing.has(pool) ? undefined : DEFAULT_SETTINGS.commit)
    await this.handle({
      name: BROADCASTER,
      functions: broadcasterFunctions(this.#broadcaster, policy, this.#handlersPools, clock),
      takes: ({ kind }) => kind !== 'peer',
      wants: (pool, entries) => concernsBroadcaster(entries, policy(pool) !== 'never'),
    })
    this.#tracker = Tracker.start({
      broadcaster: this.#broadcaster,
      services,
      stores,
      clock,
      report,
      knowsChain,
      lookMs: TRACK_MS,
      askMs: ASK_MS,
    })
  }

  /** The settings of a pool that was created, or will be. */
  #known(pool: string): CheckedSettings | undefined {
    return this.#settings.get(pool) ?? this.#options.settings?.(pool)
  }

  /** Creates a pool, or changes the settings of an existing one. */
  async create(
    path: string,
    options: PoolSettings & Pick<PoolConfig, 'encrypt' | 'grid'> = {},
    publish?: PoolConfig['publish'],
  ): Promise<PoolControl> {
    const { encrypt, grid, ...settings } = options
    const where = `pools.${checkPath(path)}`
    const checked = checkSettings(settings, where)
    if (grid !== undefined) this.#setGrid(path, grid, where)
    const pool = await this.#sidecar.make(path, grid === undefined ? 'own' : 'chain')
    this.#settings.set(path, checked) // the door takes payments for it from now on
    if (checked.watch) this.#sidecar.lookAtChain()
    return this.#sidecar.configure(pool, { ...checked, encrypt, publish, grid })
  }

  #setGrid(path: string, grid: GridSettings, where: string): void {
    checkGrid(grid, where)
    if (!this.#bitcoin?.sources.length)
      throw new OverpoolError(
        'BAD_CONFIG',
        `${where}.grid takes entries from the chain, and \`bitcoin.chain\` does not say where that is read: name a node, such as { node: 'http://127.0.0.1:8332' }`,
      )
    this.#grids.set(path, gridOf(path, grid))
    this.#sidecar.lookAtChain()
  }

  /** Subscribes to the peers' pools of a config, and ends subscriptions that only an earlier config named. */
  syncSubscriptions(config: OverpoolConfig): Promise<void> {
    return this.#sidecar.syncSubscriptions(config)
  }

  /** Resolves when the DHT has accepted the announcement of a published pool. */
  async announced(path: unknown): Promise<void> {
    return this.#sidecar.announced(await this.pools.control(path), this.#stopping.signal)
  }

  /** The public key by which other machines know this one, 64 hex. */
  async id(): Promise<string> {
    return this.#sidecar.id
  }

  async paySecret(): Promise<string> {
    return this.#paySecret
  }

  async runs(query: RunsQuery): Promise<Run[]> {
    const checked = checkRunsQuery(query)
    await this.pools.control(checked.pool)
    await this.#ports.runs?.flush()
    return (await this.#ports.runs?.list(checked)) ?? []
  }

  /**
   * Opens the HTTP door for pools that were created here. Pools with the same host and port share it; port 0 takes a free one.
   * @param others pools that take no payments there, and can be followed if their settings say so
   */
  async listen(paths: string[], port: number, host: string, others: string[] = []): Promise<LocalServer> {
    const place = `${host}:${port}`
    const door = this.#doors.get(place)
    if (door) {
      for (const path of paths) door.paths.add(path)
      for (const path of others) door.others.add(path)
      return door.server
    }
    const open = { paths: new Set(paths), others: new Set(others) }
    const server = listen(this.#door(open, host), port, host)
    this.#doors.set(place, { server, ...open })
    const places = [...this.#doors.keys()].filter((other) => other !== place && port && other.endsWith(`:${port}`))
    await server.catch((error) => {
      this.#doors.delete(place)
      if (!places.length) throw error
      throw new OverpoolError('PORT_IN_USE', `${place} cannot be opened beside ${places.join(', ')}: give the pools of one port one host`, {
        cause: error,
      })
    })
    this.#noteRunning(await this.#urls())
    return server
  }

  /** From now on every door takes payments for these pools only. @param others see `listen` */
  serveOnly(paths: string[], others: string[]): void {
    for (const door of this.#doors.values()) {
      for (const [open, now] of [
        [door.paths, paths],
        [door.others, others],
      ] as const) {
        open.clear()
        for (const path of now) open.add(path)
      }
    }
  }

  #door({ paths: open, others }: { paths: ReadonlySet<string>; others: ReadonlySet<string> }, host: string): LocalDoor {
    const { clock } = this.#ports
    const threwLate = (code: string, error: unknown) => this.#options.report({ kind: 'code-threw-late', code, error })
    const followed = (path: string): FollowedPool | undefined => {
      // Also while the pool is being opened: a browser that is told "not found" does not come again.
      const settings = open.has(path) || others.has(path) ? this.#known(path) : undefined
      return settings && { path, events: settings.events, origins: settings.origins, limits: settings.limits }
    }
    const pool = (path: string): PoolDoor | undefined => {
      if (!open.has(path)) return undefined
      const settings = this.#settings.get(path)
      const halted = settings ? this.#sidecar.halted(path)?.message : 'it is being opened'
      const filterThrewLate = (error: unknown) => threwLate(`the filter of ${path}`, error)
      return { path, ...(settings ?? DEFAULT_SETTINGS), halted, filterThrewLate }
    }
    return {
      pool,
      pools: () => [...open].flatMap((path) => pool(path) ?? []),
      ingress: this.#ingress,
      copies: this.#copies,
      ancestors: this.#ports.stores.ancestors,
      invoicing: this.#invoicing,
      url: this.#options.reached?.url,
      wait: (ms, signal) => this.#ports.clock.sleep(ms, signal).catch(() => {}),
      known: (path, txid) => knownOf(this.#ports.stores, path, txid),
      now: this.#ports.clock.now,
      maxBytes: MAX_PAYMENT_BYTES,
      isLoopback: isLoopback(host),
      studio: servesStudio(host) ? (...request) => this.#studio.answer(...request) : undefined,
      newest: isLoopback(host) ? (path) => this.pools.tail({ path, size: PAGE_ENTRIES }) : undefined,
      callbacks: this.#bitcoin?.callback && {
        secret: async () => this.#bitcoin!.secret,
        hear: (word) => this.#broadcaster!.hear(word),
      },
      paywall: this.#paywall,
      follow: {
        pool: followed,
        feeds: this.#feeds,
        followers: this.#followers,
        clock,
        threwLate: (path, error) => threwLate(`\`events\` of ${path}`, error),
      },
      log: (error) => this.#options.report({ kind: 'door', error }),
      refused: (refusal) => {
        this.#metrics.refused(refusal)
        this.#options.refused?.(refusal)
      },
      metrics: {
        contentType: this.#metrics.contentType,
        text: () => this.#metricsText(),
        answered: (...answer) => this.#metrics.answered(...answer),
      },
    }
  }

  #metricsText(): Promise<string> {
    const { stores, ingress, clock } = this.#ports
    const waiting = async () => {
      const { waiting, inFlight } = await ingress.depth()
      return waiting + inFlight
    }
    return this.#metrics.text({ dir: this.#options.dir, pools: this.pools, stores, waiting, now: clock.now })
  }

  /** Tells the command line how this machine is found, and what it does. */
  #noteRunning(urls: string[]): void {
    this.#urlsNow = urls
    const { dir, reached } = this.#options
    writeRunning(dir, {
      pid: process.pid,
      urls,
      broadcasts: (this.#bitcoin?.services.length ?? 0) > 0,
      ...reached,
      ...askingIn(this.#options),
    })
  }

  async #urls(): Promise<string[]> {
    const servers = await Promise.allSettled([...this.#doors.values()].map(({ server }) => server))
    return servers.flatMap((server) => (server.status === 'fulfilled' ? [server.value.url] : []))
  }

  /** Starts a handler where the last one of this name stopped; a new name begins with the first entry. */
  async handle(handler: Handler): Promise<void> {
    const { name } = handler
    if (this.#handlers.has(name)) throw new OverpoolError('BAD_ARGUMENT', `there is a handler named "${name}" already`)
    await this.#ending.get(name) // otherwise both would run at once: opening the queue makes its messages in flight due
    const queue = await this.#ports.bells(name)
    if (this.#stopping.signal.aborted) return
    const { clock } = this.#ports
    const report = (error: unknown) => this.#options.report({ kind: 'retrying', pool: '', step: `handler ${name}`, error })
    const inTurn = oneAfterTheOther()
    const loop = HandlerLoop.start({ queue, clock, report, answer: (...bell) => this.#answer(handler, inTurn, ...bell) })
    this.#handlers.set(name, { handler, queue, loop })
    await this.ringAgain()
  }

  /** Rings for handlers that lag, such as those whose pools have changed. */
  async ringAgain(): Promise<void> {
    await this.#sidecar.ringAgain()
  }

  /** Stops a handler after its current entry. */
  async unhandle(name: string): Promise<void> {
    const working = this.#handlers.get(name)
    if (!working) return
    this.#handlers.delete(name)
    const ending = working.loop.stop().finally(() => this.#ending.delete(name))
    this.#ending.set(name, ending)
    await ending
  }

  async #answer(handler: Handler, inTurn: InTurn, bell: Bell, receives: Receives, stopping: AbortSignal) {
    const { stores, clock, runs } = this.#ports
    const { report } = this.#options
    const { maxAttempts, retryForMs, onPoison, timeoutMs } = this.#known(bell.pool) ?? DEFAULT_SETTINGS
    const key = this.#sidecar.keyOf(bell.pool)
    const pool = key === undefined ? await this.pools.control(bell.pool) : { key }
    const options = {
      handler: handler.name,
      stores: this.#bitcoin ? stores : { blocks: stores.blocks, progress: stores.progress, state: stores.state },
      clock,
      report,
      functions: bindFunctions(handler, this.#handlersPools),
      ...(handler.options?.state === 'shared' && { shared: inTurn }),
      undoes: handler.options?.undo ?? false,
      maxAttempts,
      retryForMs,
      onPoison,
      timeoutMs,
      retryMs: RETRY_MS,
      retryMostMs: RETRY_MOST_MS,
      alone: this.#alone,
      stopping,
      ran: (run: Run) => {
        this.#metrics.ran(run)
        runs?.add(run)
      },
    }
    return answerBell(bell, pool, receives, clock.elapsed() + BELL_MS, options)
  }

  /** Stops in the order of a payment's way: doors, sidecar, handlers, files. Unfinished work goes on at the next start. */
  async close(): Promise<void> {
    this.#feeds.close()
    this.#studio.close()
    const doors = await Promise.allSettled([...this.#doors.values()].map(({ server }) => server))
    await Promise.all(doors.flatMap((door) => (door.status === 'fulfilled' ? [door.value.close()] : [])))
    this.#stopping.abort()
    const loops = Promise.all([...[...this.#handlers.values()].map(({ loop }) => loop.stop()), ...this.#ending.values()])
    try {
      await this.#tracker?.stop()
      await this.#sidecar.stop()
      await atMost(this.#ports.clock, CLOSE_MS, loops)
      await this.#sidecar.close()
    } finally {
      await this.#ports.runs?.flush()
      // Even if something could not be closed: the program may go on, and its next machine needs the folder.
      await this.#ports.close()
      this.#lock.release()
    }
  }
}
