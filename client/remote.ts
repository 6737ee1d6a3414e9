import { type Clock, systemClock } from '../shared/clock.ts'
import { checkSettings } from '../shared/config/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import { checkPublished, MachineControl } from '../shared/machine/control.ts'
import type { Invoicing } from '../shared/machine/invoicing.ts'
import type { Machine } from '../shared/machine/machine.ts'
import { LedgerPools } from '../shared/machine/pools.ts'
import { bellsOf, pause, type Redriven, type RedriveOptions, redriveAll, unpause } from '../shared/machine/progress.ts'
import { checkRunsQuery } from '../shared/machine/runs.ts'
import type { Ingress, Queue } from '../shared/queue/port.ts'
import type { Repair } from '../shared/store/control.ts'
import type { Stores } from '../shared/store/port.ts'
import type { Run, RunsQuery } from '../shared/store/runs.ts'
import { type CoreStore, machineKeyPair, poolKeys } from '../sidecar/cores/core.ts'
import { ELSEWHERE, type Progress, type Verified, verifyPool } from '../sidecar/cores/verify.ts'

/** How often it checks for changes of a machine that does not notify it, ms. */
const LOOK_MS = 1_000

/** Access to a machine that another process runs: by its folder, or by the AWS services that it uses. */
export interface Access {
  stores: Stores
  ingress: Ingress
  /** the queue of a handler's bells; undefined if the machine has no such handler */
  bells: (handler: string) => Queue | undefined
  /** the machine's seed, read only when it is needed: a poster may not have the right to read it */
  seed: () => Promise<Uint8Array>
  /** what the key of its paywalls is made of, likewise */
  paySecret: () => Promise<string>
  /** number of shards, each with a key of its own */
  shards: number
  /** its hypercores, read-only; undefined if there are none yet, ELSEWHERE if they cannot be reached from here */
  cores: typeof ELSEWHERE | (() => CoreStore | undefined)
  /** whether the machine has a broadcaster, as far as can be seen from here */
  broadcasts: boolean
  /** its invoices, if its config asks for payments */
  invoicing?: { invoicing: Invoicing; base: () => string | undefined }
  /** the runs of its handlers */
  runs: (query: RunsQuery) => Promise<Run[]>
  /** whether the machine runs now */
  isRunning: () => boolean
  /** the addresses of its HTTP doors */
  doors: () => string[]
  /** resolves when something may have been written, after `ms`, or when the signal is aborted */
  changed: (ms: number, signal?: AbortSignal) => Promise<void>
  close: () => void
}

/**
 * A machine that another process runs. Requests are written to its stores and queues, and that process carries them out, now or when it runs again. The caller closes it.
 * Filters do not run for posts from here, unless `settings` has one: they are code of that process, and a caller who can write its folder or tables may post anything.
 */
export class RemoteMachine implements Machine, AsyncDisposable {
  readonly pools: LedgerPools
  readonly control: MachineControl
  readonly stores: Stores
  readonly ingress: Ingress
  readonly #access: Access
  readonly #clock: Clock = systemClock
  readonly #closed = new AbortController()

  /** @param settings for posts to a pool; default: no filter is asked */
  constructor(access: Access, settings = checkSettings({}, '')) {
    const { stores, ingress, broadcasts, invoicing } = access
    this.#access = access
    this.stores = stores
    this.ingress = ingress
    this.pools = new LedgerPools({
      stores,
      ingress,
      clock: this.#clock,
      settings: () => settings,
      broadcasts,
      postFailed: () => {},
      ...(invoicing && { invoicing }),
    })
    this.control = new MachineControl({ stores, clock: this.#clock, secretOf: (path) => this.#secretOf(path) })
  }

  get isRunning(): boolean {
    return this.#access.isRunning()
  }

  /** The addresses of its HTTP doors. */
  get doors(): string[] {
    return this.#access.doors()
  }

  /** Resolves when something may have been written, after `ms`, or when the signal is aborted. */
  changed(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#access.changed(ms, signal)
  }

  /** Resolves when the DHT has accepted the announcement of a published pool. */
  async announced(path: unknown): Promise<void> {
    const { signal } = this.#closed
    const pool = await this.pools.control(path)
    checkPublished(pool)
    try {
      while (!(await this.stores.control.read(pool.path))?.network?.announced) {
        await this.changed(LOOK_MS, signal)
        signal.throwIfAborted()
      }
    } catch (cause) {
      if (!signal.aborted) throw cause
      throw new OverpoolError('CLOSED', `"${pool.path}" was not announced before the end`, { cause })
    }
  }

  /** The public key by which other machines know this one, 64 hex. */
  async id(): Promise<string> {
    const [id, ...more] = await this.ids()
    if (!more.length) return id!
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `this machine has ${more.length + 1} shards, each with a key of its own: \`overpool --stack … id\` prints them all`,
    )
  }

  /** The public key of each shard, in order. */
  async ids(): Promise<string[]> {
    const seed = await this.#access.seed()
    return Array.from({ length: this.#access.shards }, (_, shard) => machineKeyPair(seed, shard).publicKey.toString('hex'))
  }

  async runs(query: RunsQuery): Promise<Run[]> {
    const checked = checkRunsQuery(query)
    await this.pools.control(checked.pool)
    return this.#access.runs(checked)
  }

  paySecret(): Promise<string> {
    return this.#access.paySecret()
  }

  /** Checks whether mirror, hypercore and receipts of a pool agree. For a hypercore that cannot be reached from here, its last report is used. */
  async verify(path: string, progress?: (progress: Progress) => void): Promise<Verified> {
    const { cores } = this.#access
    const pool = await this.pools.control(path)
    const { desired = {} } = pool
    const secret = pool.kind === 'peer' ? desired.secret : desired.encrypt ? await this.#secretOf(path) : undefined
    if (cores === ELSEWHERE) return verifyPool(pool, this.stores, ELSEWHERE, secret, progress)
    const store = cores()
    try {
      return await verifyPool(pool, this.stores, await store?.read(pool.key, secret), secret, progress)
    } finally {
      await store?.close()
    }
  }

  /**
   * Asks for the repair of a pool's damaged blocks, and waits until it is done.
   * @returns undefined if it is done later: by a machine that does not run now, or on AWS
   */
  async repair(path: string): Promise<Repair['done']> {
    await this.control.repair(path)
    while (this.isRunning && this.#access.cores !== ELSEWHERE) {
      const { repair } = await this.pools.control(path)
      if (repair?.done) return repair.done
      await this.changed(LOOK_MS, this.#closed.signal)
    }
    return undefined
  }

  /** Asks handlers to retry what they gave up in a pool, or to go on where they stopped, see `redriveAll`. */
  async redrive(path: string, options: RedriveOptions = {}): Promise<Redriven[]> {
    await this.pools.control(path)
    const { bells } = this.#access
    return redriveAll(path, options, { stores: this.stores, bells, clock: this.#clock })
  }

  /** Pauses a handler in a pool: it is not called there until it is unpaused. @throws OverpoolError HANDLER_NOT_FOUND: it has not worked on the pool */
  async pause(path: string, handler: string, reason: string): Promise<void> {
    await this.#bellsOf(path, handler)
    await pause(handler, path, reason, { stores: this.stores, clock: this.#clock })
  }

  /** Has a paused handler go on. @returns whether it was paused */
  async unpause(path: string, handler: string): Promise<boolean> {
    const bells = await this.#bellsOf(path, handler)
    return unpause(handler, path, { stores: this.stores, bells, clock: this.#clock })
  }

  /** The queue of a handler that has worked on a pool. */
  async #bellsOf(path: string, handler: string): Promise<Queue> {
    await this.pools.control(path)
    return bellsOf(handler, path, { stores: this.stores, bells: this.#access.bells })
  }

  async #secretOf(path: string): Promise<string> {
    return poolKeys(await this.#access.seed(), path).secret
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#access.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
