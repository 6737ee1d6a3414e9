import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

interface Question {
  method: string
  argument: unknown
}
interface Answer {
  value?: unknown
  error?: string
}

/** A program in a process of its own, which answers one call at a time. */
export class Program {
  readonly #child: ChildProcess

  /** Starts `./programs/<name>.ts`; resolves when it is ready to answer. */
  static async start(name: string, ...args: string[]): Promise<Program> {
    const child = fork(new URL(`./programs/${name}.ts`, import.meta.url), args, {
      execArgv: ['--max-semi-space-size=8'], // the flag of `npm start`
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const program = new Program(child)
    await program.#answer()
    return program
  }

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  async ask<T>(method: string, argument?: unknown): Promise<T> {
    const answered = this.#answer()
    this.#child.send({ method, argument } satisfies Question)
    const { value, error } = await answered
    if (error !== undefined) throw new Error(error)
    return value as T
  }

  #answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const answered = (answer: Answer) => {
        this.#child.off('exit', exited)
        resolve(answer)
      }
      const exited = () => {
        this.#child.off('message', answered)
        reject(new Error('the program has exited without an answer'))
      }
      this.#child.once('message', answered).once('exit', exited)
    })
  }

  /** Kills it with kill -9. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

/** The side of the program: sends that it is ready, and answers calls. */
export function answer(methods: Record<string, (argument: never) => unknown>): void {
  process.on('message', async ({ method, argument }: Question) => {
    let answer: Answer
    try {
      answer = { value: await methods[method]!(argument as never) }
    } catch (error) {
      answer = { error: String(error) }
    }
    process.send!(answer)
  })
  process.on('disconnect', () => process.exit()) // the bench has died
  process.send!({})
}
