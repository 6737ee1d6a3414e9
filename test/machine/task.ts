import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { EnvOf } from '../../shared/config/env.ts'
import type { Verified } from '../../sidecar/cores/verify.ts'
import type { AwsProxy } from '../aws/proxy.ts'

/** How a task came to its end: without a word, so that the next one has to wait until its lease has run out; or told to by ECS, which has started the next one. */
export type Replacement = 'killed' | 'deployed'

/** A machine whose sidecar is a task of its own. */
export interface WithTasks {
  /** what all of its tasks ask AWS through */
  readonly proxy: AwsProxy
  /** The task that works, or was the last to. */
  working(): Task
  /** A further task, on an empty disk; it is told nothing of those that there are. */
  task(environment?: Partial<EnvOf<'sidecar'>>): Task
  /** Ends the task that works, and puts another in its place, on an empty disk; resolves when that one works. */
  replace(how: Replacement): Promise<void>
  /** Compares mirror, hypercore and receipts. @param task whose hypercores; it must have ended */
  verify(path: string, task?: Task): Promise<Verified>
}

const SIDECAR = fileURLToPath(new URL('../../sidecar/main.ts', import.meta.url))

/** A sidecar that runs: in a process of its own, or in its container (test/image/container.ts). */
export class Task {
  /** where its hypercores are */
  readonly dir: string
  /** what it has said */
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #heard = new Set<() => void>()
  readonly #exited: Promise<unknown>

  /**
   * sidecar/main.ts in a process, as its container runs it.
   * @param environment its part in the stack, and how it reaches AWS
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
        for (const look of this.#heard) look()
      })
    }
    this.#exited = once(this.#child, 'exit')
    void this.#exited.then(() => {
      for (const look of this.#heard) look()
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** How it ended: its exit code, or the signal. */
  get end(): number | NodeJS.Signals | undefined {
    return this.#child.exitCode ?? this.#child.signalCode ?? undefined
  }

  /** Resolves when it has said something of this kind; fails if it ends before. */
  async said(kind: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = () => {
      if (this.lines.some((line) => line.includes(`"kind":"${kind}"`))) resolve()
      else if (this.end !== undefined) reject(new Error(`the sidecar has ended (${this.end}): ${this.lines.slice(-5).join('\n')}`))
    }
    this.#heard.add(look)
    look()
    await promise.finally(() => this.#heard.delete(look))
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Resolves when it has ended, told to or not. */
  async ended(signal?: NodeJS.Signals): Promise<Task['end']> {
    if (this.end === undefined) {
      if (signal) this.signal(signal)
      await this.#exited
    }
    return this.end
  }
}
