import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { cpSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../machine/machine.ts'

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const MAIN = join(REPOSITORY, 'cli/main.ts')

/** A free UDP port. */
export async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return port
}

/** A program that was started, and its output until now. */
export class Program {
  readonly child: ChildProcess
  out = ''
  err = ''
  #exited: number | string | undefined

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout!.on('data', (chunk) => (this.out += chunk))
    child.stderr!.on('data', (chunk) => (this.err += chunk))
    child.on('close', (code, signal) => (this.#exited = code ?? signal!))
  }

  /** Waits until it has printed this, on stdout or stderr; fails if it ends before. */
  async says(what: RegExp): Promise<RegExpExecArray> {
    const look = () => what.exec(this.out) ?? what.exec(this.err)
    const found = await until(look, (match) => match !== null || this.#exited !== undefined, 30_000).catch((cause) => {
      throw new Error(`it did not print ${what}, but:\n${this.out}${this.err}`, { cause })
    })
    if (!found) throw new Error(`it ended (${this.#exited}) and did not print ${what}, but:\n${this.out}${this.err}`)
    return found
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** Resolves at the end of its output to its exit code, or to the signal that ended it. */
  async ended(): Promise<number | string> {
    if (this.#exited === undefined) await once(this.child, 'close')
    return this.#exited!
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<number | string> {
    this.child.kill(signal)
    return this.ended()
  }
}

/** A folder with a config and handlers, as a user of the command line has. */
export class Project {
  readonly dir = realpathSync(mkdtempSync(join(tmpdir(), 'overpool-project-')))
  readonly #programs: Program[] = []

  /** The template: the config and the handler of a fresh clone. */
  static template(): Project {
    const project = new Project()
    for (const file of ['overpool.config.ts', 'functions/handlers/main.ts']) cpSync(join(REPOSITORY, file), join(project.dir, file))
    return project
  }

  /** A project with these pools and the source of one handler for them all, which prints what the test waits for. */
  static of(pools: object, handler: string): Project {
    const project = new Project()
    project.write('overpool.config.ts', config(pools))
    project.write('handler.ts', handler)
    return project
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.dir, file), text)
  }

  run(command: string, args: string[], options: { env?: NodeJS.ProcessEnv; input?: string; cwd?: string } = {}): Program {
    const env = { ...process.env, OVERPOOL_DIR: '', HOST: '', PORT: '0', NO_COLOR: '1', FORCE_COLOR: undefined, ...options.env }
    const child = spawn(command, args, {
      cwd: options.cwd ?? this.dir,
      env,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      detached: true, // a process group of its own
    })
    child.stdin?.end(options.input)
    const program = new Program(child)
    this.#programs.push(program)
    return program
  }

  /** Runs the real command, `overpool …`. */
  overpool(args: string[], options: { env?: NodeJS.ProcessEnv; input?: string } = {}): Program {
    return this.run(process.execPath, [MAIN, ...args], options)
  }

  /** Runs the command until it ends. */
  async result(...args: string[]): Promise<{ code: number | string; out: string; err: string }> {
    const program = this.overpool(args)
    const code = await program.ended()
    return { code, out: program.out, err: program.err }
  }

  /** Starts the machine; resolves when wallets can post, to `url` if it has pools. */
  async start(args: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Program & { url: string }> {
    const program = this.overpool(['start', ...args], { env })
    await program.says(/Ctrl-C stops the machine/)
    return Object.assign(program, { url: /http:\/\/[\d.:]+/.exec(program.out)?.[0] ?? '' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, isOver } of this.#programs) if (!isOver) process.kill(-child.pid!, 'SIGKILL') // the program and all that it started
    await Promise.all(this.#programs.map((program) => program.ended()))
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** The source of a config. */
export function config(pools: object, handler = './handler.ts'): string {
  return `import { defineConfig } from 'overpool-cloud'\n\nexport default defineConfig(${JSON.stringify({ handler, pools })})\n`
}

/** Posts a transaction with this text, as a wallet does; resolves to the status. */
export async function pay(url: string, transaction: string, memo?: string): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ transaction, memo }),
  })
  await response.arrayBuffer()
  return response.status
}
