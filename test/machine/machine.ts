import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { folderLayout, readSeed } from '../../local/folder.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import type { PublishOptions, SubscribeOptions } from '../../shared/machine/control.ts'
import type { AncestorTransaction } from '../../shared/machine/pools.ts'
import type { Posted, PostOptions } from '../../shared/machine/post.ts'
import type { Redriven } from '../../shared/machine/progress.ts'
import type { PoolStatus } from '../../shared/machine/status.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Cursor, DeadLetter } from '../../shared/store/progress.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { CoreStore } from '../../sidecar/cores/core.ts'
import { type Verified, verifyPool } from '../../sidecar/cores/verify.ts'
import { Emulators } from '../aws/emulators.ts'
import { type AwsPortsOptions, awsPorts } from './aws-ports.ts'
import type { Answer, ChildOptions } from './child.ts'
import type { Run, Wish } from './handler.ts'

/** What the scenarios run on: a machine in a child process, over SQLite or over AWS emulators in memory, or a deployed one (test/stack). */
export const SIDE = (process.env.OVERPOOL_SIDE ?? 'sqlite') as ChildOptions['side'] | StackSide
const STACK_SIDES = ['ministack', 'localstack', 'deployed'] as const
type StackSide = (typeof STACK_SIDES)[number]

export function isStack(side: string): side is StackSide {
  return (STACK_SIDES as readonly string[]).includes(side)
}

/** The calls of a test machine. */
export interface Methods {
  post: (options: PostOptions) => Posted
  get: (options: { path: string; hash: string }) => TxEvent
  tail: (options: { path: string; size?: number }) => TxEvent[]
  read: (options: { path: string; from?: number; to?: number }) => TxEvent[]
  prune: (path: string) => void
  length: (path: string) => number
  trail: (options: { path: string; hash: string }) => TxEvent[]
  ancestors: (options: { path: string; hash: string }) => AncestorTransaction[]
  pub: (path: string, options?: PublishOptions) => string
  unpub: (path: string) => void
  sub: (key: string, options?: SubscribeOptions) => PoolControl
  unsub: (key: string) => void
  announced: (path: string) => void
  status: () => PoolStatus[]
  reports: () => string[]
  state: (handler: string, path: string) => { key: string; value: unknown }[]
  ingress: () => { waiting: number; inFlight: number }
  control: (path: string) => PoolControl
  cursor: (path: string) => Cursor
  dead: (path: string) => DeadLetter[]
  redrive: (path: string, skip: boolean) => Redriven
  pause: (path: string, reason: string) => void
  unpause: (path: string) => boolean
  /** resident memory, MiB */
  rss: () => number
  close: () => void
}

/** The answer to a wallet. */
export interface Ack {
  status: number
  body: { payment?: { transaction: string; memo?: string }; memo: string; error: number; success?: boolean; code?: string }
}

/** A machine in a child process over a folder of its own. A test uses its HTTP door, its API, and the file in which its handler records its runs. */
export class TestMachine {
  readonly dir: string
  readonly #options: ChildOptions
  readonly #emulators: Emulators | undefined
  #child: ChildProcess | undefined
  #url = ''
  #calls = new Map<number, (answer: Answer) => void>()
  #nextCall = 1

  static async start(
    pools: ChildOptions['pools'],
    options: Partial<ChildOptions> & { ports?: AwsPortsOptions } = {},
  ): Promise<TestMachine> {
    if (isStack(SIDE)) {
      const { StackMachine } = await import('../stack/machine.ts')
      return StackMachine.open(pools, options)
    }
    const { ports, ...rest } = { side: SIDE, ...options }
    const emulators = rest.side === 'aws' ? await Emulators.start() : undefined
    const machine = new TestMachine({ pools, ...rest, ...(emulators && { aws: { ...emulators.place, ...ports } }) }, emulators)
    await machine.start()
    return machine
  }

  protected constructor(options: Omit<ChildOptions, 'dir' | 'runsFile'>, emulators: Emulators | undefined) {
    this.dir = mkdtempSync(join(tmpdir(), 'overpool-test-'))
    this.#options = { dir: this.dir, runsFile: join(this.dir, 'runs'), ...options }
    this.#emulators = emulators
  }

  /** The emulators below the machine, on side aws. */
  get emulators(): Emulators {
    return this.#emulators!
  }

  async start(options: Partial<ChildOptions> = {}): Promise<void> {
    await this.#emulators?.reclaim()
    const child = fork(new URL('./child.ts', import.meta.url), [JSON.stringify({ ...this.#options, ...options })], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child = child
    child.on('message', (answer: Answer) => {
      this.#calls.get(answer.id)?.(answer)
      this.#calls.delete(answer.id)
    })
    const exited = once(child, 'exit').then(([code]) => {
      for (const settle of this.#calls.values()) settle({ id: -1, error: { message: `the machine has exited (${code})` } })
      this.#calls.clear()
    })
    const ready = new Promise<Answer>((resolve) => this.#calls.set(0, resolve))
    const answer = await Promise.race([ready, exited.then(() => ready)])
    if (answer.error) throw new Error(answer.error.message)
    this.#url = answer.value as string
  }

  get url(): string {
    return this.#url
  }

  async call<M extends keyof Methods>(method: M, ...args: Parameters<Methods[M]>): Promise<ReturnType<Methods[M]>> {
    const id = this.#nextCall++
    const answered = new Promise<Answer>((resolve) => this.#calls.set(id, resolve))
    this.#child!.send({ id, method, args }, () => {}) // if the process has died, its exit ends the call
    const { value, error } = await answered
    if (error) throw error.code ? new OverpoolError(error.code as OverpoolError['code'], error.message) : new Error(error.message)
    return value as ReturnType<Methods[M]>
  }

  /** Posts as a wallet does. */
  async post(pool: string, payment: unknown, headers: Record<string, string> = {}): Promise<Ack> {
    const body = typeof payment === 'string' ? payment : JSON.stringify(payment)
    const response = await fetch(`${this.#url}/${pool}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    })
    return { status: response.status, body: (await response.json()) as Ack['body'] }
  }

  /** The handler's runs until now. */
  runs(path?: string): Run[] {
    if (!existsSync(this.#options.runsFile)) return []
    const lines = readFileSync(this.#options.runsFile, 'utf8').split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line) as Run).filter((run) => path === undefined || run.path === path)
  }

  /** Sequence numbers of the runs that ended without an error, in their order. */
  ended(path: string): number[] {
    return this.runs(path).flatMap(({ ended, seq }) => (ended ? [seq] : []))
  }

  async stop(): Promise<void> {
    const exited = once(this.#child!, 'exit')
    await this.call('close')
    await exited
  }

  async kill(): Promise<void> {
    const child = this.#child!
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  /** Compares mirror, hypercore and receipts; best with the machine stopped. */
  async verify(path: string): Promise<Verified> {
    const { aws } = this.#options
    const { stores, close } = aws ? await awsPorts(aws, aws) : openLedgerFile(this.dir)
    const cores = new CoreStore(folderLayout(this.dir).cores, readSeed(this.dir, false), { readOnly: true })
    try {
      const pool = (await stores.control.read(path))!
      return await verifyPool(pool, stores, await cores.read(pool.key, undefined), undefined)
    } finally {
      await cores.close()
      await close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await this.#emulators?.[Symbol.asyncDispose]()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** Waits until a condition holds; fails with the last value after `ms`. */
export async function until<T>(
  look: () => T | Promise<T>,
  holds: (value: T) => boolean,
  ms = isStack(SIDE) ? 120_000 : 20_000,
): Promise<T> {
  const end = performance.now() + ms
  while (true) {
    const value = await look()
    if (holds(value)) return value
    if (performance.now() > end) throw new Error(`the condition did not hold within ${ms} ms: ${JSON.stringify(value)?.slice(0, 2_000)}`)
    await wait(5)
  }
}

/** A payment with a transaction of its own, and a wish for the handler. */
export function payment(text: string, wish?: Wish): { transaction: string; memo?: string } {
  return { transaction: sampleTransaction(text), ...(wish && { memo: JSON.stringify(wish) }) }
}

/** A payment whose transaction has an output script of `size` bytes, at least 65,536. */
export function largePayment(size: number): { transaction: string } {
  const head = Buffer.from('0100000000010000000000000000fe00000000', 'hex')
  head.writeUInt32LE(size, head.length - 4)
  return { transaction: Buffer.concat([head, Buffer.alloc(size, 0x6a), Buffer.alloc(4)]).toString('hex') }
}
