import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))

export interface Ended {
  code: number | null
  out: string
  err: string
}

/** The command line as a process of its own. */
export class Cli {
  readonly child: ChildProcess
  out = ''
  err = ''
  readonly ended: Promise<Ended>

  constructor(dir: string, args: string[], cwd?: string) {
    this.child = spawn(process.execPath, [main, '--dir', dir, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout!.on('data', (data) => (this.out += data))
    this.child.stderr!.on('data', (data) => (this.err += data))
    this.ended = once(this.child, 'close').then(([code]) => ({ code, out: this.out, err: this.err }))
  }

  /** Ctrl-C; resolves when it has ended. */
  stop(): Promise<Ended> {
    this.child.kill('SIGINT')
    return this.ended
  }
}

/** Runs a command to its end. */
export function overpool(dir: string, ...args: string[]): Promise<Ended> {
  return new Cli(dir, args).ended
}

/** The values that a command answers with `--json`. */
// biome-ignore lint/suspicious/noExplicitAny: it is what the command says, whatever that is
export async function json(dir: string, ...args: string[]): Promise<any[]> {
  const { out } = await overpool(dir, '--json', ...args)
  return out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}
