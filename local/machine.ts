import { existsSync } from 'node:fs'
import type { TxEvent } from '../functions/handler/event.ts'
import { HandlerLoop } from '../functions/handler/loop.ts'
import { Pools } from '../functions/handler/pools.ts'
import { answerBell } from '../functions/handler/runner.ts'
import type { PoolDoor } from '../functions/payments/accept.ts'
import { paymentsApp } from '../functions/payments/app.ts'
import { MAX_PAYMENT_BYTES } from '../shared/bip270/payment.ts'
import { type CheckedSettings, checkPath, checkSettings, type PoolSettings } from '../shared/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { Bell } from '../shared/ledger/messages.ts'
import type { PoolControl } from '../shared/mirror/port.ts'
import type { Queue } from '../shared/queue/port.ts'
import { CoreStore, poolKeys } from '../sidecar/core.ts'
import { Sidecar } from '../sidecar/sidecar.ts'
import { folderLayout, lockFolder, readSeed, writeRunning } from './folder.ts'
import { BELL_MS, type Parts, sqliteParts } from './parts.ts'
import type { MachineReport } from './report.ts'
import { type LocalServer, listen } from './server.ts'

/** Between two attempts at an entry: ms after the first, doubling up to the most. */
const RETRY_MS = 200
const RETRY_MOST_MS = 30_000
/** Handlers that run when the machine is closed have this long to finish, ms; what they do not, they do again. */
const CLOSE_MS = 10_000

export type OnTx = (event: TxEvent, pool: Pools) => unknown

/** A handler at work. `onTx` may be replaced: an entry under way finishes on the old code. */
export interface Handler {
  readonly name: string
  onTx: OnTx
  /** the pools whose entries it is called with */
  takes: (pool: string) => boolean
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
  /** what to stand on, default the SQLite file in the folder */
  parts?: (dir: string) => Promise<Parts>
}

const DEFAULT_SETTINGS = checkSettings({}, '')

/** The embedded machine: payments, sidecar and handlers in one process, over one folder. Whoever opens it closes it. */
export class Machine {
  readonly pools: Pools
  readonly #options: MachineOptions
  readonly #parts: Parts
  readonly #seed: Uint8Array
  readonly #lock: { release: () => void }
  readonly #cores: CoreStore
  readonly #sidecar: Sidecar
  readonly #settings = new Map<string, CheckedSettings>()
  readonly #keys = new Map<string, string>()
  readonly #handlers = new Map<string, WorkingHandler>()
  readonly #doors = new Map<string, { server: Promise<LocalServer>; paths: Set<string> }>()
  readonly #stopping = new AbortController()

  /** Opens a folder, alone: FOLDER_IN_USE while another machine runs in it. What was under way when an earlier one ended goes on. */
  static async open(options: MachineOptions): Promise<Machine> {
    const lock = lockFolder(options.dir)
    let parts: Parts | undefined
    try {
      const isNew = !existsSync(folderLayout(options.dir).ledger)
      const seed = readSeed(options.dir, isNew)
      parts = await (options.parts ?? sqliteParts)(options.dir)
      const machine = new Machine(options, lock, parts, seed)
      await machine.#recover()
      writeRunning(options.dir, { pid: process.pid, urls: [] })
      return machine
    } catch (error) {
      await parts?.close()
      lock.release()
      throw error
    }
  }

  private constructor(options: MachineOptions, lock: { release: () => void }, parts: Parts, seed: Uint8Array) {
    const { mirror, ingress, clock, carryBytes } = parts
    this.#options = options
    this.#lock = lock
    this.#parts = parts
    this.#seed = seed
    const settings = (path: string) => this.#settings.get(path) ?? DEFAULT_SETTINGS
    this.pools = new Pools({ mirror, ingress, clock, settings, postFailed: (error) => options.report({ kind: 'post-failed', error }) })
    this.#cores = new CoreStore(folderLayout(options.dir).cores, seed)
    this.#sidecar = new Sidecar({
      mirror,
      ingress,
      cores: this.#cores,
      clock,
      report: options.report,
      ringers: (pool) =>
        [...this.#handlers.values()]
          .filter(({ handler }) => handler.takes(pool))
          .map(({ handler, queue }) => ({ handler: handler.name, queue, carryBytes })),
      batchMs: (pool) => settings(pool).batchMs,
    })
  }

  /** Opens every pool's writer, in the background: what an earlier process left half done is done now. */
  async #recover(): Promise<void> {
    for (const pool of await this.pools.list()) {
      this.#checkKey(pool)
      this.#sidecar.writer(pool.path).catch((error) => this.#options.report({ kind: 'retrying', pool: pool.path, step: 'open', error }))
    }
  }

  #checkKey({ path, key }: PoolControl): void {
    this.#keys.set(path, key)
    if (key === poolKeys(this.#seed, path).key) return
    throw new OverpoolError(
      'BAD_CONFIG',
      `the seed in ${folderLayout(this.#options.dir).seed} is not the one that "${path}" was made with: put the right one back, or take another folder`,
    )
  }

  /** Makes a pool if there is none, or gives an existing one these settings. */
  async create(path: string, settings: PoolSettings = {}): Promise<PoolControl> {
    const checked = checkSettings(settings, `pools.${checkPath(path)}`)
    const { key, discoveryKey } = poolKeys(this.#seed, path)
    const pool = await this.#parts.mirror.createPool({ path, key, discoveryKey, createdAt: this.#parts.clock.now() })
    this.#checkKey(pool)
    this.#settings.set(path, checked)
    await this.#sidecar.writer(path)
    return pool
  }

  /** Opens the HTTP door for pools that were created here. Pools that ask for the same host and port share it; port 0 takes a free one. */
  async listen(paths: string[], port: number, host: string): Promise<LocalServer> {
    const place = `${host}:${port}`
    const door = this.#doors.get(place)
    if (door) {
      for (const path of paths) door.paths.add(path)
      return door.server
    }
    const open = new Set(paths)
    const server = listen(this.#app(open), port, host)
    this.#doors.set(place, { server, paths: open })
    server.catch(() => this.#doors.delete(place))
    await server
    writeRunning(this.#options.dir, { pid: process.pid, urls: await this.#urls() })
    return server
  }

  /** Takes payments for these pools and no others from now on, at every door. */
  serveOnly(paths: string[]): void {
    for (const { paths: open } of this.#doors.values()) {
      open.clear()
      for (const path of paths) open.add(path)
    }
  }

  #app(open: ReadonlySet<string>) {
    const pool = (path: string): PoolDoor | undefined => {
      const settings = open.has(path) ? this.#settings.get(path) : undefined
      return settings && { path, ...settings, halted: this.#sidecar.halted(path)?.message }
    }
    const { ingress, clock } = this.#parts
    return paymentsApp({
      pool,
      ingress,
      now: clock.now,
      maxBytes: MAX_PAYMENT_BYTES,
      log: (error) => this.#options.report({ kind: 'door', error }),
    })
  }

  async #urls(): Promise<string[]> {
    const servers = await Promise.allSettled([...this.#doors.values()].map(({ server }) => server))
    return servers.flatMap((server) => (server.status === 'fulfilled' ? [server.value.url] : []))
  }

  /** Sets a handler to work, from where one of this name stopped last; a new name begins with the first entry. */
  async handle(handler: Handler): Promise<void> {
    const { name } = handler
    if (this.#handlers.has(name)) throw new OverpoolError('BAD_ARGUMENT', `there is a handler named "${name}" already`)
    const queue = await this.#parts.bells(name)
    const { clock } = this.#parts
    const report = (error: unknown) => this.#options.report({ kind: 'retrying', pool: '', step: `handler ${name}`, error })
    const loop = new HandlerLoop({ queue, clock, report, answer: (bell, receives) => this.#answer(handler, bell, receives) })
    this.#handlers.set(name, { handler, queue, loop })
    await this.#sidecar.ringAgain()
  }

  /** Rings for handlers whose pools have changed. */
  async ringAgain(): Promise<void> {
    await this.#sidecar.ringAgain()
  }

  /** Stops a handler, after the entry that it is at. */
  async unhandle(name: string): Promise<void> {
    const working = this.#handlers.get(name)
    this.#handlers.delete(name)
    await working?.loop.stop()
  }

  async #answer(handler: Handler, bell: Bell, receives: number) {
    const { mirror, clock } = this.#parts
    const { report } = this.#options
    const { maxAttempts, onPoison, timeoutMs } = this.#settings.get(bell.pool) ?? DEFAULT_SETTINGS
    const key = this.#keys.get(bell.pool) ?? (await this.pools.control(bell.pool)).key
    const onTx = (event: TxEvent) => handler.onTx(event, this.pools)
    const options = {
      handler: handler.name,
      mirror,
      clock,
      report,
      onTx,
      maxAttempts,
      onPoison,
      timeoutMs,
      retryMs: RETRY_MS,
      retryMostMs: RETRY_MOST_MS,
      stopping: this.#stopping.signal,
    }
    return answerBell(bell, key, receives, clock.now() + BELL_MS, options)
  }

  /** Stops in the order of a payment's way: doors, sidecar, handlers, files. What is under way is finished, or goes on at the next start. */
  async close(): Promise<void> {
    const doors = await Promise.allSettled([...this.#doors.values()].map(({ server }) => server))
    await Promise.all(doors.flatMap((door) => (door.status === 'fulfilled' ? [door.value.close()] : [])))
    this.#stopping.abort()
    const loops = Promise.all([...this.#handlers.values()].map(({ loop }) => loop.stop()))
    await this.#sidecar.stop()
    const finished = new AbortController()
    await Promise.race([loops, this.#parts.clock.sleep(CLOSE_MS, finished.signal)])
    finished.abort()
    await this.#cores.close()
    await this.#parts.close()
    this.#lock.release()
  }
}
