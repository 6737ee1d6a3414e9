import { accessSync, constants, existsSync } from 'node:fs'
import { HandlerLoop } from '../functions/handler/loop.ts'
import { answerBell } from '../functions/handler/runner.ts'
import { watchForBlocking } from '../functions/handler/watchdog.ts'
import { catchLateErrors } from '../functions/late.ts'
import type { Refusal } from '../functions/payments/door.ts'
import { isLoopback } from '../functions/payments/loopback.ts'
import { MAX_PAYMENT_BYTES } from '../shared/bip270/payment.ts'
import { atMost } from '../shared/clock.ts'
import {
  type CheckedSettings,
  checkPath,
  checkSettings,
  type NetworkSettings,
  type OverpoolConfig,
  type PoolConfig,
  type PoolSettings,
} from '../shared/config/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { Bell } from '../shared/ledger/messages.ts'
import type { PoolName } from '../shared/ledger/pool.ts'
import type { LogFormat } from '../shared/log.ts'
import type { PoolDoor } from '../shared/machine/accept.ts'
import type { MachineControl } from '../shared/machine/control.ts'
import { Copies } from '../shared/machine/copies.ts'
import { bindFunctions, type HandlerFunctions } from '../shared/machine/handlers.ts'
import { type Machine, type Pools, poolsOf } from '../shared/machine/machine.ts'
import { LedgerPools } from '../shared/machine/pools.ts'
import type { Ingress, Queue } from '../shared/queue/port.ts'
import { oneAfterTheOther } from '../shared/retry.ts'
import type { PoolControl } from '../shared/store/control.ts'
import { Sidecar } from '../sidecar/sidecar.ts'
import { checkFileLimit, explained } from './explain.ts'
import { folderLayout, hasLedger, lockFolder, readSeed, writeRunning } from './folder.ts'
import { BELL_MS, type Ports, sqlitePorts } from './ports.ts'
import type { MachineReport } from './report.ts'
import { type LocalDoor, type LocalServer, listen } from './server.ts'

/** Wait after a failed attempt, ms, doubling up to the most. */
const RETRY_MS = 200
const RETRY_MOST_MS = 30_000
/** Running handlers have this time to finish when the machine closes, ms. Unfinished entries run again at the next start. */
const CLOSE_MS = 10_000

/** A handler. Its functions may be replaced: an entry under way finishes on the old code. */
export interface Handler {
  readonly name: string
  functions: HandlerFunctions
  /** whether it is called with the entries of a pool */
  takes: (pool: PoolName) => boolean
}

interface WorkingHandler {
  handler: Handler
  queue: Queue
  loop: HandlerLoop
}

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
  /** the ports to use, default: the SQLite file in the folder */
  ports?: (dir: string) => Promise<Ports>
}

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
  readonly #copies: Copies
  readonly #settings: Map<string, CheckedSettings>
  readonly #handlers: Map<string, WorkingHandler>
  /** stopped handlers that still run their last entry */
  readonly #ending = new Map<string, Promise<void>>()
  readonly #stopping = new AbortController()
  readonly #alone = oneAfterTheOther()
  readonly #doors = new Map<string, { server: Promise<LocalServer>; paths: Set<string> }>()

  /** Opens a folder; FOLDER_IN_USE while another machine runs in it. Unfinished work of an earlier process goes on. */
  static async open(options: MachineOptions): Promise<EmbeddedMachine> {
    const { dir } = options
    checkFileLimit()
    const lock = lockFolder(dir)
    let close = async () => lock.release()
    try {
      const isNew = !hasLedger(dir)
      const { cores } = folderLayout(dir)
      if (existsSync(cores)) accessSync(cores, constants.W_OK) // hypercore would name no user
      const seed = readSeed(dir, isNew)
      const ports = await (options.ports ?? sqlitePorts)(dir)
      close = () => ports.close().finally(lock.release)
      const settings = new Map<string, CheckedSettings>()
      const settingsOf = (pool: string) => settings.get(pool) ?? options.settings?.(pool)
      const handlers = new Map<string, WorkingHandler>()
      const { stores, ingress, clock, carryBytes } = ports
      const sidecar = await Sidecar.open({
        stores,
        ingress,
        clock,
        seed,
        seedPlace: folderLayout(dir).seed,
        cores,
        network: options.network ?? {},
        unique: (pool) => {
          const known = settingsOf(pool)
          return known && known.unique === 'transaction'
        },
        batchMs: (pool) => settingsOf(pool)?.batchMs,
        report: options.report,
        ringers: (pool) =>
          [...handlers.values()]
            .filter(({ handler }) => handler.takes(pool))
            .map(({ handler, queue }) => ({ handler: handler.name, queue, carryBytes })),
      })
      const machine = new EmbeddedMachine(options, lock, ports, sidecar, settings, handlers)
      close = () => machine.close()
      writeRunning(dir, { pid: process.pid, urls: [] })
      catchLateErrors(options.logFormat)
      watchForBlocking(options.logFormat)
      return machine
    } catch (error) {
      await close()
      throw explained(error, dir)
    }
  }

  private constructor(
    options: MachineOptions,
    lock: { release: () => void },
    ports: Ports,
    sidecar: Sidecar,
    settings: Map<string, CheckedSettings>,
    handlers: Map<string, WorkingHandler>,
  ) {
    const { stores, clock, direct } = ports
    this.#ingress = direct ? sidecar.ingress : ports.ingress
    this.#options = options
    this.#lock = lock
    this.#ports = ports
    this.#sidecar = sidecar
    this.#settings = settings
    this.#handlers = handlers
    this.control = sidecar.control
    this.#copies = new Copies(stores.receipts, this.#ingress)
    this.pools = new LedgerPools({
      stores,
      ingress: this.#ingress,
      copies: this.#copies,
      clock,
      settings: (path) => settings.get(path) ?? DEFAULT_SETTINGS,
      postFailed: (error) => options.report({ kind: 'post-failed', error }),
    })
    this.#handlersPools = poolsOf(this)
  }

  /** Creates a pool, or changes the settings of an existing one. */
  async create(path: string, options: PoolSettings & { encrypt?: boolean } = {}, publish?: PoolConfig['publish']): Promise<PoolControl> {
    const { encrypt, ...settings } = options
    const checked = checkSettings(settings, `pools.${checkPath(path)}`)
    const pool = await this.#sidecar.make(path)
    this.#settings.set(path, checked) // the door takes payments for it from now on
    return this.#sidecar.configure(pool, { ...checked, encrypt, publish })
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

  /** Opens the HTTP door for pools that were created here. Pools with the same host and port share it; port 0 takes a free one. */
  async listen(paths: string[], port: number, host: string): Promise<LocalServer> {
    const place = `${host}:${port}`
    const door = this.#doors.get(place)
    if (door) {
      for (const path of paths) door.paths.add(path)
      return door.server
    }
    const open = new Set(paths)
    const server = listen(this.#door(open, host), port, host)
    this.#doors.set(place, { server, paths: open })
    const others = [...this.#doors.keys()].filter((other) => other !== place && port && other.endsWith(`:${port}`))
    await server.catch((error) => {
      this.#doors.delete(place)
      if (!others.length) throw error
      throw new OverpoolError('PORT_IN_USE', `${place} cannot be opened beside ${others.join(', ')}: give the pools of one port one host`, {
        cause: error,
      })
    })
    writeRunning(this.#options.dir, { pid: process.pid, urls: await this.#urls() })
    return server
  }

  /** From now on every door takes payments for these pools only. */
  serveOnly(paths: string[]): void {
    for (const { paths: open } of this.#doors.values()) {
      open.clear()
      for (const path of paths) open.add(path)
    }
  }

  #door(open: ReadonlySet<string>, host: string): LocalDoor {
    const pool = (path: string): PoolDoor | undefined => {
      if (!open.has(path)) return undefined
      const settings = this.#settings.get(path)
      const halted = settings ? this.#sidecar.halted(path)?.message : 'it is being opened'
      const filterThrewLate = (error: unknown) => this.#options.report({ kind: 'code-threw-late', code: `the filter of ${path}`, error })
      return { path, ...(settings ?? DEFAULT_SETTINGS), halted, filterThrewLate }
    }
    return {
      pool,
      pools: () => [...open].flatMap((path) => pool(path) ?? []),
      ingress: this.#ingress,
      copies: this.#copies,
      now: this.#ports.clock.now,
      maxBytes: MAX_PAYMENT_BYTES,
      isLoopback: isLoopback(host),
      newest: isLoopback(host) ? (path) => this.pools.tail({ path, size: PAGE_ENTRIES }) : undefined,
      log: (error) => this.#options.report({ kind: 'door', error }),
      refused: this.#options.refused,
    }
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
    const loop = HandlerLoop.start({ queue, clock, report, answer: (...bell) => this.#answer(handler, ...bell) })
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

  async #answer(handler: Handler, bell: Bell, receives: number, stopping: AbortSignal) {
    const { stores, clock } = this.#ports
    const { report } = this.#options
    const { maxAttempts, retryForMs, onPoison, timeoutMs } = this.#settings.get(bell.pool) ?? DEFAULT_SETTINGS
    const key = this.#sidecar.keyOf(bell.pool)
    const pool = key === undefined ? await this.pools.control(bell.pool) : { key }
    const options = {
      handler: handler.name,
      stores,
      clock,
      report,
      functions: bindFunctions(handler, this.#handlersPools),
      maxAttempts,
      retryForMs,
      onPoison,
      timeoutMs,
      retryMs: RETRY_MS,
      retryMostMs: RETRY_MOST_MS,
      alone: this.#alone,
      stopping,
    }
    return answerBell(bell, pool, receives, clock.elapsed() + BELL_MS, options)
  }

  /** Stops in the order of a payment's way: doors, sidecar, handlers, files. Unfinished work goes on at the next start. */
  async close(): Promise<void> {
    const doors = await Promise.allSettled([...this.#doors.values()].map(({ server }) => server))
    await Promise.all(doors.flatMap((door) => (door.status === 'fulfilled' ? [door.value.close()] : [])))
    this.#stopping.abort()
    const loops = Promise.all([...[...this.#handlers.values()].map(({ loop }) => loop.stop()), ...this.#ending.values()])
    try {
      await this.#sidecar.stop()
      await atMost(this.#ports.clock, CLOSE_MS, loops)
      await this.#sidecar.close()
    } finally {
      // Even if something could not be closed: the program may go on, and its next machine needs the folder.
      await this.#ports.close()
      this.#lock.release()
    }
  }
}
