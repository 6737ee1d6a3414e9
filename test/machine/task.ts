import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { EnvOf } from '../../shared/config/env.ts'
import type { Verified } from '../../sidecar/cores/verify.ts'
import type { AwsProxy } from '../aws/proxy.ts'

/** How a task ends: killed, so that the next one waits until the lease has expired; or stopped by ECS, which has started the next one before. */
export type Replacement = 'killed' | 'deployed'

/** A machine whose sidecar is a separate task. */
export interface WithTasks {
  /** the proxy between all its tasks and AWS */
  readonly proxy: AwsProxy
  /** The current or last task. */
  working(): Task
  /** Starts another task, on an empty disk. It knows nothing of the other tasks. */
  task(environment?: Partial<EnvOf<'sidecar'>>): Task
  /** Replaces the current task by another one, on an empty disk; resolves when the new one works. */
  replace(how: Replacement): Promise<void>
  /** Compares mirror, hypercore and receipts. @param task the owner of the hypercores, which must have ended */
  verify(path: string, task?: Task): Promise<Verified>
}

const SIDECAR = fileURLToPath(new URL('../../sidecar/main.ts', import.meta.url))

/** A sidecar, in a process of its own or in its container (test/image/container.ts). */
export class Task {
  /** the folder of its hypercores */
  readonly dir: string
  /** the lines of its log */
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #listeners = new Set<() => void>()
  readonly #exited: Promise<unknown>

  /**
   * Runs sidecar/main.ts in a process, as the container does.
   * @param environment the variables of the sidecar, and those with which the SDK reaches AWS
   * @param flags of Node
   */
  static process(dir: string, environment: Record<string, string>, flags: string[] = []): Task {
    const env = { ...process.env, WORK_DIR: dir, ...environment }
    return new Task(dir, spawn(process.execPath, [...flags, SIDECAR], { env, stdio: ['ignore', 'pipe', 'pipe'] }))
  }

  protected constructor(dir: string, child: ChildProcess) {
    this.dir = dir
    this.#child = child
    const { stdout, stderr } = this.#child
    for (const input of [stdout!, stderr!]) {
      createInterface({ input }).on('line', (line) => {
        this.lines.push(line)
        for (const look of this.#listeners) look()
      })
    }
    this.#exited = once(this.#child, 'exit')
    void this.#exited.then(() => {
      for (const look of this.#listeners) look()
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** How it ended: its exit code, or the signal. */
  get end(): number | NodeJS.Signals | undefined {
    return this.#child.exitCode ?? this.#child.signalCode ?? undefined
  }

  /** Resolves when its log has a line of this kind; fails if it ends before. */
  async said(kind: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = () => {
      if (this.lines.some((line) => line.includes(`"kind":"${kind}"`))) resolve()
      else if (this.end !== undefined) reject(new Error(`the sidecar has ended (${this.end}): ${this.lines.slice(-5).join('\n')}`))
    }
    this.#listeners.add(look)
    look()
    await promise.finally(() => this.#listeners.delete(look))
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends the signal, if any; resolves when the process has ended. */
  async ended(signal?: NodeJS.Signals): Promise<Task['end']> {
    if (this.end === undefined) {
      if (signal) this.signal(signal)
      await this.#exited
    }
    return this.end
  }
}
