import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { Project, pay, REPOSITORY } from './project.ts'

const HANDLER = `export const onTx = (e) => { if (e.payment.memo === 'bad') throw new Error('no such\\u001b[31m table') }\n`

/** `overpool top` in a terminal of its own (terminal.py). */
class Terminal {
  readonly #child: ChildProcess
  raw = ''

  constructor(project: Project, columns: number, rows: number) {
    const program = [process.execPath, join(REPOSITORY, 'cli/main.ts'), 'top']
    const args = [join(REPOSITORY, 'test/cli/terminal.py'), String(columns), String(rows), ...program]
    this.#child = spawn('python3', args, {
      cwd: project.dir,
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, OVERPOOL_DIR: '' },
    })
    this.#child.stdout!.on('data', (chunk) => (this.raw += chunk))
  }

  /** The lines of the last whole view. */
  get lines(): string[] {
    const views = this.raw.split('\u001b[H').filter((view) => view.includes('\u001b[J'))
    return (views.at(-1) ?? '').split('\u001b[J')[0]!.replaceAll('\u001b[K', '').split('\r\n').slice(0, -1)
  }

  send(command: string): void {
    this.#child.stdin!.write(`${command}\n`)
  }

  async ended(): Promise<number> {
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
    return this.#child.exitCode!
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}

describe('overpool top', () => {
  it('prints once if the output is no terminal, and as JSON with --json', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 }, quiet: {} }, HANDLER)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('good'))
    await pay(`${machine.url}/mypool`, sampleTransaction('bad'), 'bad')
    await machine.says(/gave up mypool #1/)
    const { code, out } = await project.result('top')
    expect(code).toBe(0)
    const [head, , columns, mypool, quiet, , problem] = out.split('\n')
    expect(head).toMatch(/^20\S+Z {2}running {2}2 pools {2}0 posts wait$/)
    expect(columns!.split(/ {2,}/)).toEqual(['pool', 'entries', '/s', 'peers', 'handler', 'behind', '/s', 'gave up', 'state'])
    expect(mypool!.split(/ {2,}/)).toEqual(['mypool', '2', 'handler', '0', '1', 'ok'])
    expect(quiet).toMatch(/^quiet +0/)
    expect(problem).toMatch(/^handler handler gave up an entry of mypool, the last one #1: Error: no such\\u001b\[31m table/)
    expect(JSON.parse((await project.result('top', '--json')).out)).toMatchObject({
      isRunning: true,
      pools: [{ path: 'mypool', entries: 2 }, {}],
    })
  })

  it('in a terminal shows rates, follows the terminal’s size, and q leaves the terminal as it was', async () => {
    await using project = Project.of({ mypool: {}, quiet: {} }, HANDLER)
    const machine = await project.start()
    using terminal = new Terminal(project, 100, 20)
    await until(
      () => terminal.lines,
      (lines) => lines.length === 5,
      20_000,
    )
    let posted = 0
    const rate = await until(
      async () => {
        for (let i = 0; i < 5; i++) await pay(`${machine.url}/mypool`, sampleTransaction(`${posted++}`))
        return Number(/^mypool +\d+ +([\d.]+)/m.exec(terminal.lines.join('\n'))?.[1] ?? 0)
      },
      (shown) => shown > 0,
      20_000,
    )
    expect(rate).toBeGreaterThan(0)
    terminal.send('size 30 4')
    const small = await until(
      () => terminal.lines,
      (lines) => lines.length === 3 && lines.every((line) => line.length <= 30),
    )
    expect(small.at(-1)).toMatch(/^… \d+ more lines$/)
    expect(terminal.raw.endsWith('\u001b[?25h')).toBe(false)
    terminal.send('key q')
    expect(await terminal.ended()).toBe(0)
    expect(terminal.raw.endsWith('\u001b[?25h')).toBe(true) // the cursor is shown again
  })
})
