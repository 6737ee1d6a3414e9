import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Overpool, type TxEvent } from '../index.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { until } from './machine/machine.ts'

// Programs of the library in processes of their own. A program must end by itself: nothing here ends it, except in the tests of those that go on.

const root = mkdtempSync(join(tmpdir(), 'overpool-joined-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const newFolder = () => mkdtempSync(join(root, 'm-'))
const [A, B] = ['a', 'b'].map((text) => JSON.stringify(sampleTransaction(text)))

/** A program that has an Overpool over this folder as `pool`. */
class Program implements AsyncDisposable {
  readonly #child: ChildProcess
  said = ''

  constructor(dir: string, text: string) {
    const head = `
      import { Overpool } from ${JSON.stringify(new URL('../index.ts', import.meta.url))}
      const pool = new Overpool({ dir: ${JSON.stringify(dir)} })\n`
    this.#child = spawn(process.execPath, ['--input-type=module', '-e', head + text], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) stream.setEncoding('utf8').on('data', (text) => (this.said += text))
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  get isOver(): boolean {
    return this.#child.exitCode !== null
  }

  /** Resolves when it ends by itself, to what it printed. */
  async output(): Promise<string> {
    if (!this.isOver) await once(this.#child, 'close')
    expect([this.#child.exitCode, this.said]).toEqual([0, expect.any(String)])
    return this.said
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isOver) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }
}

async function outputOf(dir: string, text: string): Promise<string> {
  await using program = new Program(dir, text)
  return await program.output()
}

describe('a second program on the folder of a running machine', () => {
  it('posts, reads, prunes, publishes and subscribes there, and ends by itself', async () => {
    const dir = newFolder()
    await using machine = new Overpool({ dir })
    const events: TxEvent[] = []
    machine.on('tx', (e) => void events.push(e))
    const { key } = await machine.create({ path: 'loop', port: false })
    const followed = 'ab'.repeat(32)
    const said = await outputOf(
      dir,
      `const { hash } = await pool.post({ path: 'loop', payment: ${A} })
       console.log((await pool.get({ path: 'loop', hash })).source, (await pool.tail({ path: 'loop' })).length, (await Array.fromAsync(pool.read({ path: 'loop' }))).length)
       await pool.prune('loop')
       console.log((await pool.tail({ path: 'loop' })).length, await pool.pub({ path: 'loop' }), (await pool.sub({ path: '${followed}' })).key, await pool.id())
       console.log((await pool.status()).map(({ path, published, subscribed }) => [path, published ?? subscribed]).flat().join())
       await pool.unsub({ path: '${followed}' })
       await pool.unpub({ path: 'loop' })`,
    )
    expect(said).toBe(`api 1 1\n0 ${key} ${followed} ${await machine.id()}\n${followed},true,loop,true\n`)
    await until(
      () => events,
      ({ length }) => length === 1,
    )
    expect(events[0]).toMatchObject({ path: 'loop', seq: 0, source: 'api', payment: { transaction: JSON.parse(A!) } })
  })

  it('is told why it makes no pools and why its handlers do not run, and goes on', async () => {
    const dir = newFolder()
    await using machine = new Overpool({ dir })
    await machine.create({ path: 'mypool', port: false })
    const said = await outputOf(
      dir,
      `pool.on('tx', () => console.log('wrong'))
       await pool.create({ path: 'other', port: false }).catch(({ code, message }) => console.log(code, message))
       console.log((await pool.post({ path: 'mypool', payment: ${A} })).hash.length)`,
    )
    const runs = `another machine runs in ${dir} \\(process ${process.pid}\\); stop it first, or set OVERPOOL_DIR to another folder. Meanwhile this program can post`
    expect(said).toMatch(new RegExp(`^FOLDER_IN_USE "other" cannot be created here: ${runs}`, 'm'))
    expect(said).toMatch(new RegExp(`^overpool: the handler does not work: the handler of this program cannot run: ${runs}`, 'm'))
    expect(said).toMatch(/^64$/m)
    expect(said).not.toContain('wrong')
  })

  it('joins a machine that starts at the same moment', async () => {
    const dir = newFolder()
    const text = `
      await pool.create({ path: 'mypool', port: false }).catch(() => {})
      while (!(await pool.status()).length);
      await pool.post({ path: 'mypool', payment: ${A} })
      console.log('posted')`
    expect(await Promise.all([outputOf(dir, text), outputOf(dir, text), outputOf(dir, text)])).toEqual(Array(3).fill('posted\n'))
    await using machine = new Overpool({ dir })
    await until(
      () => machine.tail({ path: 'mypool' }),
      ({ length }) => length === 3,
    )
  })

  it('makes pools and runs its handlers once the other one has ended', async () => {
    const dir = newFolder()
    const first = new Overpool({ dir })
    await first.create({ path: 'mypool', port: false })
    await using second = new Overpool({ dir })
    await second.post({ path: 'mypool', payment: JSON.parse(A!) })
    await first.close()
    await second.create({ path: 'mypool', port: false })
    const handled = new Promise<TxEvent>((resolve) => second.on('tx', resolve))
    expect(await handled).toMatchObject({ seq: 0, payment: { transaction: JSON.parse(A!) } })
  })
})

describe('a program', () => {
  it('ends by itself when it has nothing more to do, and its work is done', async () => {
    const dir = newFolder()
    const post = (payment: string) => `await pool.post({ path: 'mypool', payment: ${payment} })`
    expect(await outputOf(dir, `await pool.create({ path: 'mypool', port: false }); ${post(A!)}; console.log('posted')`)).toBe('posted\n')
    expect(await outputOf(dir, `${post(B!)}; await pool.prune('mypool')`)).toBe('')
    expect(await outputOf(dir, `console.log((await pool.tail({ path: 'mypool' })).length); ${post(A!)}`)).toBe('0\n')
    await using machine = new Overpool({ dir })
    expect(await machine.tail({ path: 'mypool' })).toMatchObject([{ seq: 2, payment: { transaction: JSON.parse(A!) } }])
  })

  it('ends by itself when it is closed while its handlers are started', async () => {
    const said = await outputOf(
      newFolder(),
      `for (let i = 0; i < 5; i++) pool.on('tx', () => {})
       const created = pool.create({ path: 'mypool', port: 0 })
       pool.close()
       console.log(await created.then(({ path }) => path, ({ code }) => code))`,
    )
    expect(['mypool\n', 'CLOSED\n']).toContain(said)
  })

  it.each([
    ['a door', `await pool.create({ path: 'mypool', port: 0 })`],
    ['a handler', `pool.on('tx', () => {}); await pool.create({ path: 'mypool', port: false })`],
    ['a published pool', `await pool.create({ path: 'mypool', port: false }); await pool.pub({ path: 'mypool' })`],
  ])('goes on while it has %s, and ends when it is closed', async (_, text) => {
    const dir = newFolder()
    const rest = `
      process.once('SIGTERM', () => pool.close())
      console.log('ready')`
    await using program = new Program(dir, `${text}${rest}`)
    await until(
      () => program.said,
      (said) => said.includes('ready'),
    )
    // A second program finds the machine at work: it has not ended.
    expect(
      await outputOf(dir, `await pool.post({ path: 'mypool', payment: ${A} }); console.log((await pool.tail({ path: 'mypool' })).length)`),
    ).toBe('1\n')
    expect(program.isOver).toBe(false)
    program.kill('SIGTERM')
    expect(await program.output()).toBe('ready\n')
  })
})
