import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folderLayout } from '../local/folder.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { until } from './machine/machine.ts'

// The package as npm packs it, unpacked into node_modules of a user's project: a real folder, beside links to its dependencies and to no other packages.

const repository = fileURLToPath(new URL('..', import.meta.url))
const programs = join(repository, 'test/programs')
const project = mkdtempSync(join(tmpdir(), 'overpool-package-'))
const modules = join(project, 'node_modules')
const installed = join(modules, 'overpool-cloud')
const run = promisify(execFile)
let packed: string[]
let manifest: {
  version: string
  engines: { node: string }
  bin: { overpool: string }
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
}

beforeAll(async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], { cwd: repository })
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  packed = files.map(({ path }) => path)
  mkdirSync(installed, { recursive: true })
  await run('tar', ['-xzf', join(project, filename), '-C', installed, '--strip-components=1'])
  manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }))
    link(join(repository, 'node_modules', name), join(modules, name))
  link(join(installed, manifest.bin.overpool), join(modules, '.bin/overpool'))
  mkdirSync(join(modules, 'datapay'))
  cpSync(join(programs, 'datapay.cjs'), join(modules, 'datapay/index.js'))
}, 120_000)
afterAll(() => rmSync(project, { recursive: true, force: true }))

function link(to: string, at: string): void {
  mkdirSync(dirname(at), { recursive: true })
  symlinkSync(to, at)
}

/** Writes files into a new folder of the project. */
function folderOf(files: Record<string, string>): string {
  const folder = mkdtempSync(join(project, 'in-'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

describe('npm pack', () => {
  it('packs JavaScript, types and the files that its package.json names, and none contains a path of this machine', () => {
    for (const path of packed)
      expect(path).toMatch(
        /^(dist\/.+\.(js|d\.ts)|dist\/(package-lock\.json|sidecar\/Dockerfile)|package\/(import\.mjs|memory\.cjs|node-version\.cjs|overpool\.cjs|require\.(cjs|d\.cts))|package\.json|(README|CHANGELOG|AGENTS)\.md|llms\.txt|LICENSE|docs\/.+)$/,
      )
    expect(packed.filter((path) => /test|template|functions\/handlers|overpool\.config/.test(path))).toEqual([])
    const named = JSON.stringify(JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')), [
      'exports',
      '.',
      'require',
      'types',
      'default',
      'module-sync',
      'imports',
      '#node-version',
      'bin',
      'overpool',
      './cdk',
      './follow',
    ])
    for (const [, path] of named.matchAll(/"\.\/([^"]+\.\w+)"/g)) expect(packed).toContain(path)
    const text = packed.map((path) => readFileSync(join(installed, path), 'utf8')).join('\n')
    expect([text.includes(repository), text.includes(project)]).toEqual([false, false])
  })
})

describe('the library', () => {
  it('is the class itself from require, with the other exports as properties, and the same class from import', async () => {
    const folder = folderOf({
      'one.cjs': `
        const Overpool = require('overpool-cloud')
        const library = require('overpool-cloud')
        import('overpool-cloud').then((imported) => console.log(JSON.stringify([
          Overpool.name, typeof new Overpool({ dir: 'x' }).post, new Overpool.OverpoolError('CLOSED', 'x').code, library.defineConfig({ pools: {} }),
          ['default', 'Overpool'].map((name) => imported[name] === Overpool && Overpool[name] === Overpool),
          Object.keys(imported).sort().filter((name) => Overpool[name] !== imported[name]), Object.keys(imported).sort(),
        ])))`,
      'two.mjs': `
        import Overpool, { Overpool as same, defineConfig, OverpoolError } from 'overpool-cloud'
        import * as guarded from '../node_modules/overpool-cloud/package/import.mjs'
        import * as library from 'overpool-cloud'
        console.log(Overpool === same, Object.keys(library).every((name) => library[name] === guarded[name]), typeof defineConfig, typeof OverpoolError)`,
      'three.cjs': `require('./two-sync.mjs')`,
      'two-sync.mjs': `import { Overpool } from 'overpool-cloud'; console.log(Overpool.name)`,
    })
    const names = [
      'Budget',
      'Overpool',
      'OverpoolError',
      'createPaywall',
      'dataTransaction',
      'default',
      'defineConfig',
      'defineHandler',
      'payingFetch',
    ]
    expect(JSON.parse(await output('one.cjs', folder))).toEqual(['Overpool', 'function', 'CLOSED', { pools: {} }, [true, true], [], names])
    expect(await output('two.mjs', folder)).toBe('true true function function\n')
    expect(await output('three.cjs', folder), 'a module that imports it can be required').toBe('Overpool\n')
  })

  it('has types for both module systems and for bundlers, which pass in a strict project that checks its libraries', async () => {
    const exported = [...readFileSync(join(repository, 'index.ts'), 'utf8').matchAll(/\{([^}]*)\}/g)].flatMap(([, names]) =>
      names!.split(',').map((name) => name.trim()),
    )
    const types = exported
      .filter((name) => name && !name.includes(' as '))
      .map((name) => name.replace('type ', ''))
      .filter((name) => name !== 'defineConfig')
    expect(types).toContain('TxEvent')
    const files = {
      'esm.mts': `
        import Default, { defineConfig, ${types.join(', ')} } from 'overpool-cloud'
        const pool: Overpool = new Default()
        const handler: OnTx = async (e, own) => {
          const parsed: Parsed = e.parsed
          const { hash }: Posted = await own.post({ path: 'mypool', payment: e.payment })
          void [parsed.out[0]?.tape[0]?.cell[0]?.s, hash, e.cause?.seq]
        }
        pool.on('tx', handler, { name: 'x' }).on('error', (error: MachineError) => void error.report.kind)
        export default defineConfig({ pools: { a: { filter: ({ parsed }, callback) => callback(null, parsed.in.length > 0) } } })
        for await (const e of pool.read({ path: 'x' })) void (e satisfies TxEvent).payment.memo
        await using other = new Overpool({ dir: 'x' })
        void other.post({ path: 'x', payment: { transaction: { toHex: () => '' }, memo: 'm' } })
        // @ts-expect-error an event has a name
        pool.on(5, handler)
        // @ts-expect-error a number is no payment
        void pool.post({ path: 'x', payment: 5 })`,
      'cjs.cts': `
        import Overpool = require('overpool-cloud')
        import { defineConfig, ${types.map((name) => `type ${name} as ${name}_`).join(', ')} } from 'overpool-cloud'
        const pool: Overpool = new Overpool.Overpool()
        pool.on('tx', async (e: Overpool.TxEvent) => {
          const { id }: Posted_ = await pool.post({ path: 'mypool', payment: e.payment })
          void [id, defineConfig, new Overpool.OverpoolError('CLOSED', '') satisfies OverpoolError_]
        })
        // @ts-expect-error there is no such method
        pool.nothing()`,
      'cdk.mts': `
        import { App } from 'aws-cdk-lib'
        import { overpoolApp, OverpoolStack, readProgram } from 'overpool-cloud/cdk'
        const { stack }: { stack: OverpoolStack } = await overpoolApp()
        void new OverpoolStack(new App(), 'Mine', { program: await readProgram('overpool.config.ts') }).handlers.main?.function
        void stack.payments.url`,
      'follow.mts': `
        import { followPool, FollowError } from 'overpool-cloud/follow'
        const gone = new AbortController()
        await followPool('https://example.com/mypool', { signal: gone.signal, onEvent: (e) => e.large || e.payment.memo?.length })
        for await (const e of followPool(new URL('https://example.com/mypool'), { kinds: ['tx', 'status'], after: -1 })) {
          if (e.large) continue
          if (e.kind === 'status') void (e.of.txid satisfies string)
          else void (e.payment.transaction satisfies string)
          // @ts-expect-error blocks are not asked for
          if (e.kind === 'block') break
        }
        for await (const e of followPool('https://example.com/mypool', { kinds: 'all' }))
          if (e.kind === 'block' && !e.large) void [e.header satisfies string, new FollowError('', 404).status]`,
    }
    const tsc = join(repository, 'node_modules/typescript/bin/tsc')
    for (const [module, moduleResolution, include, types] of [
      ['nodenext', 'nodenext', ['esm.mts', 'cjs.cts'], ['node']],
      ['esnext', 'bundler', ['esm.mts', 'follow.mts'], ['node']],
      ['nodenext', 'nodenext', ['esm.mts', 'cdk.mts', 'follow.mts'], []], // what TypeScript does by default
    ]) {
      const compilerOptions = {
        module,
        moduleResolution,
        target: 'es2022',
        lib: ['es2022'],
        types,
        strict: true,
        skipLibCheck: false,
        noEmit: true,
        noUncheckedSideEffectImports: true,
      }
      const folder = folderOf({ ...files, 'tsconfig.json': JSON.stringify({ compilerOptions, include }) })
      const said = await run(process.execPath, [tsc, '-p', folder]).then(
        ({ stdout }) => stdout,
        ({ stdout }) => stdout,
      )
      expect(said, String(moduleResolution)).toBe('')
    }
  })
})

async function output(program: string, cwd: string): Promise<string> {
  return (await run(process.execPath, [program], { cwd })).stdout
}

describe('on a Node that is too old', () => {
  // Here this Node pretends to be an older one, so that the test runs everywhere. The next test runs a really old Node, if this machine has one.
  const told = /overpool-cloud needs Node 24 or newer .* and this is Node 2\d\.\d+\.\d+\. `npm install node@24` puts one into your project/
  const starts = {
    require: ['-e', "require('overpool-cloud')"],
    import: ['--input-type=module', '-e', "import 'overpool-cloud'"],
    'the command': ['node_modules/overpool-cloud/package/overpool.cjs', '--help'],
  }

  async function sentenceOf(node: string, args: string[]) {
    const failed = await run(node, args, { cwd: project }).catch((error: { code: number; stderr: string }) => error)
    const { code, stderr } = failed as { code?: number; stderr: string }
    expect([code, stderr]).toEqual([1, expect.stringMatching(told)])
    expect(stderr).not.toMatch(/SyntaxError|ERR_|ExperimentalWarning/)
    return stderr
  }

  it.each(Object.entries(starts))('%s says which version it needs, and how to get it', async (how, args) => {
    for (const version of ['20.11.1', '22.15.9', '23.11.0']) {
      const folder = folderOf({ 'old.cjs': `Object.defineProperty(process.versions, 'node', { value: '${version}' })` })
      const stderr = await sentenceOf(process.execPath, ['-r', join(folder, 'old.cjs'), ...args])
      expect(stderr).toContain(`this is Node ${version}.`)
      if (how === 'the command') expect(stderr.trim().split('\n')).toHaveLength(1)
      else expect(stderr).toContain("code: 'NODE_TOO_OLD'")
    }
  })

  it('npm says so too, when it installs the package', () => {
    expect(manifest.engines.node, 'as package/node-version.cjs has it').toBe('^22.16.0 || >=24.0.0')
  })

  const old = oldNode()
  it.skipIf(!old).each(Object.entries(starts))(
    `%s says so on ${old?.version ?? 'an old Node, which this machine does not have'}`,
    async (_, args) => {
      await sentenceOf(old!.path, args)
    },
  )

  function oldNode(): { path: string; version: string } | undefined {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, 'node')
      if (!existsSync(path)) continue
      const version = execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
      if (Number.parseInt(version, 10) < 22) return { path, version }
    }
    return undefined
  }
})

describe('the programs of 2019', () => {
  it('the article’s first program prints each payment and puts it into its database', async () => {
    await using program = new Program('article.cjs')
    const url = await program.url('mypool')
    const sent = ['a', 'b'].map((text) => ({ transaction: sampleTransaction(text) }))
    for (const payment of sent) expect(await pay(url, payment)).toMatchObject({ payment, error: 0 })
    const rows = await until(
      () => program.lines('transaction.jsonl'),
      ({ length }) => length === 2,
    )
    const events = rows.map((row) => JSON.parse(row))
    expect(events.map(({ out }) => out[0].tape[1].cell[0].s)).toEqual(['a', 'b'])
    expect(program.said).toMatch(/^new payment event \{\n {2}path: 'mypool',\n/)
    await until(
      () => program.said,
      (said) => said.split('new payment event').length === 3 && said.endsWith('}\n'),
    )
    expect(program.said).toContain(`hash: '${events[1].tx.h}'`)
    expect(program.said).toMatch(/payment: \{\s+transaction: '0100/)
    expect(program.said).toMatch(/parsed: \{\s+tx: \{\s+h: '/)
    expect(program.said).not.toContain('[Getter]')
  })

  it('the article’s endless loop is ended by maxHops', { timeout: 240_000 }, async () => {
    await using program = new Program('article-loop.cjs')
    const transaction = sampleTransaction('for ever')
    await pay(await program.url('mypool'), { transaction })
    await until(
      () => program.said,
      (said) => said.includes('gave up mypool #1000'),
      200_000,
    )
    expect(program.said).toMatch(
      /this post is 1001 posts away from the one that began the loop; "mypool" allows 1000 \(maxHops\) \[LOOP_TOO_DEEP\]/,
    )
    const { stdout } = await run(process.execPath, [join(installed, 'package', 'overpool.cjs'), 'tail', 'mypool', '-n', '2000', '--json'], {
      cwd: program.folder,
      maxBuffer: 2 ** 26,
    })
    const entries = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(entries.map(({ hops }) => hops)).toEqual(Array.from({ length: 1001 }, (_, i) => i))
    expect(new Set(entries.map(({ payment }) => payment.transaction))).toEqual(new Set([transaction]))
  })

  it('the README’s counter makes each transaction from the one before it', { timeout: 120_000 }, async () => {
    await using program = new Program('counter.cjs')
    await pay(await program.url('loop'), { merchantData: null, transaction: sampleTransaction('1'), refundTo: null, memo: null })
    await until(
      () => program.said,
      (said) => said.includes('LOOP #100 '),
      100_000,
    )
    expect(program.said.match(/^LOOP #\d+/gm)).toEqual(Array.from({ length: 101 }, (_, i) => `LOOP #${i}`))
    expect(program.said).toContain("LOOP #3 [ '1', '1', '2', '3' ]")
  })

  it('the demo that computes Fibonacci numbers from the ledger’s tail works', { timeout: 120_000 }, async () => {
    await using program = new Program('fibonacci.cjs')
    const numbers = () =>
      program.said
        .split('Tape = ')
        .slice(1)
        .map((tape) => Number(tape.match(/"s": "(\d+)"/)?.[1]))
    const all = await until(numbers, ({ length }) => length === 22, 100_000)
    const expected = [1, 2]
    while (expected.length < 22) expected.push(expected.at(-1)! + expected.at(-2)!)
    expect(all).toEqual(expected)
  })

  it('the demos that post objects and get entries by hash work, and a bad transaction is an error to catch', async () => {
    await using program = new Program('get.cjs')
    const said = await until(
      () => program.said.trim().split('\n'),
      (lines) => lines.filter((line) => line.startsWith('Queried')).length === 10,
    )
    const valuesOf = (word: string) => said.filter((line) => line.startsWith(word)).map((line) => line.slice(word.length + 3))
    expect(valuesOf('Queried')).toEqual(valuesOf('Event'))
    expect(said.filter((line) => line.startsWith('error = '))).toHaveLength(1)
  })

  it('the demos’ clients work beside the running server, and end by themselves', { timeout: 120_000 }, async () => {
    await using server = new Program('counter.cjs')
    await server.url('loop')
    await server.also('client.cjs')
    await until(
      () => server.said,
      (said) => said.includes('LOOP #100 '),
      100_000,
    )
    await using filtering = new Program('filter.cjs')
    await filtering.url('localhost')
    const library = join(installed, 'package', 'overpool.cjs')
    const overpool = async (...args: string[]) => (await run(process.execPath, [library, ...args], { cwd: filtering.folder })).stdout
    await overpool('post', 'localhost', '--sample')
    await until(
      () => overpool('tail', 'localhost', '--json'),
      (entries) => entries !== '',
    )
    await filtering.also('prune.cjs')
    expect(await overpool('tail', 'localhost')).toBe('no entries in localhost\n')
  })

  it('the README’s filter refuses payments through its callback', async () => {
    await using program = new Program('filter.cjs')
    const url = await program.url('localhost')
    expect(await pay(url, { transaction: sampleTransaction('no inputs') })).toMatchObject({ error: 1, memo: 'must have inputs' })
    const { hex: signed } = JSON.parse(readFileSync(new URL('data/parsed.json', import.meta.url), 'utf8')).find(
      ({ parsed }: { parsed: { in: unknown[] } }) => parsed.in.length,
    )
    expect(await pay(url, { transaction: signed })).toMatchObject({ error: 0 })
  })
})

/** A program in a folder of its own, unchanged but for the port, which is a free one. */
class Program {
  readonly folder: string
  said = ''
  readonly #child: ChildProcess

  constructor(name: string) {
    const text = readFileSync(join(programs, name), 'utf8')
    const onFreePort = text
      .replace(/port: \d+/, 'port: 0')
      .replace(/path: "(loop|localhost)"( \}\)\n|,\n {2}filter)/, 'path: "$1", port: 0$2')
    expect(onFreePort).toContain('port: 0')
    this.folder = folderOf({ [name]: onFreePort, 'db.cjs': readFileSync(join(programs, 'db.cjs'), 'utf8') })
    this.#child = spawn(process.execPath, ['-r', './db.cjs', name], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    })
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) stream.setEncoding('utf8').on('data', (text) => (this.said += text))
  }

  /** Runs another program in its folder until that ends by itself. */
  async also(name: string): Promise<void> {
    cpSync(join(programs, name), join(this.folder, name))
    expect(await run(process.execPath, [name], { cwd: this.folder, timeout: 60_000 })).toEqual({ stdout: '', stderr: '' })
  }

  lines(file: string): string[] {
    const path = join(this.folder, file)
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
  }

  async url(pool: string): Promise<string> {
    const { running } = folderLayout(join(this.folder, '.overpool'))
    const urls = () => (existsSync(running) ? (JSON.parse(readFileSync(running, 'utf8') || '{}').urls ?? []) : [])
    const [url] = await until(urls, ({ length }: string[]) => length > 0)
    return `${url}/${pool}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await exited
    }
  }
}

async function pay(url: string, payment: object): Promise<unknown> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(payment) })
  return response.json()
}

describe('the command', () => {
  it('runs a config and a handler of the project, both in TypeScript, and reads its ledger', { timeout: 120_000 }, async () => {
    const folder = folderOf({
      'overpool.config.ts': `
        import { defineConfig } from 'overpool-cloud'
        export default defineConfig({ handler: './handler.ts', pools: { mypool: { filter: ({ memo }) => memo !== 'no' } } })`,
      'handler.ts': `
        import { OverpoolError, type TxEvent, type Pools } from 'overpool-cloud'
        import { note } from './note.ts'
        export async function onTx(e: TxEvent, pool: Pools) {
          const there: TxEvent[] = await pool.tail({ path: e.path })
          console.log(note(e), there.length, typeof OverpoolError)
        }`,
      'note.ts': `export const note = (e: { seq: number }): string => 'handled #' + e.seq`,
    })
    const overpool = join(modules, '.bin/overpool')
    const command = (...args: string[]) => run(process.execPath, [overpool, ...args], { cwd: folder })
    expect((await command('--version')).stdout.trim()).toBe(manifest.version)

    const machine = spawn(process.execPath, [overpool, 'start', '--port', '0', '--json'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    machine.stdout.setEncoding('utf8').on('data', (text) => (said += text))
    try {
      await until(
        () => said,
        (text) => text.includes('\n'),
        60_000,
      )
      const { url } = JSON.parse(said.split('\n')[0]!) as { url: string }
      expect(await pay(`${url}/mypool`, { transaction: sampleTransaction('x'), memo: 'no' })).toMatchObject({ error: 1 })
      expect(await pay(`${url}/mypool`, { transaction: sampleTransaction('x') })).toMatchObject({ error: 0 })
      await until(
        () => said,
        (text) => text.includes('handled #0 1 function'),
      )
      const [entry] = (await command('tail', 'mypool', '--json')).stdout.split('\n')
      expect(JSON.parse(entry!)).toMatchObject({ path: 'mypool', seq: 0, source: 'http' })
    } finally {
      const exited = once(machine, 'exit')
      machine.kill('SIGINT')
      expect(await exited).toEqual([0, null])
    }
    expect((await command('verify', 'mypool')).stdout).toContain('all of it agrees')
    expect(readdirSync(folder).sort()).toEqual(['.overpool', 'handler.ts', 'note.ts', 'overpool.config.ts'])
  })

  it('contains the code that talks to a stack, and loads it when a stack is named', async () => {
    const env = { PATH: process.env.PATH, HOME: project, AWS_EC2_METADATA_DISABLED: 'true' }
    const told = run(process.execPath, [join(modules, '.bin/overpool'), 'pools', '--stack', 'Overpool', '--region', 'eu-central-1'], {
      env,
    })
    await expect(told).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^overpool: there are no AWS credentials to reach the stack "Overpool"/),
    })
  })
})

describe('a project of `overpool init --aws`', () => {
  const folder = mkdtempSync(join(project, 'app-'))
  const overpool = (...args: string[]) => run(process.execPath, [join(modules, '.bin/overpool'), ...args], { cwd: folder })

  it('has its files and scripts, and what is there already stays', async () => {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'shop', scripts: { test: 'mine' } }))
    expect((await overpool('init')).stdout).toMatch(
      /^written: package.json, overpool.config.ts, handler.ts, handler.test.mjs, .gitignore\n/,
    )
    writeFileSync(join(folder, '.gitignore'), 'mine')
    expect((await overpool('init', '--aws', '--json')).stdout).toBe(
      `${JSON.stringify({ dir: folder, written: ['package.json', 'app.mjs', 'cdk.json'] })}\n`,
    )
    expect((await overpool('init', '--aws')).stdout).toMatch(/^all files are there already\n/)
    expect(readFileSync(join(folder, '.gitignore'), 'utf8')).toBe('mine')
    expect(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))).toMatchObject({
      name: 'shop',
      scripts: { start: 'overpool start', test: 'mine', deploy: 'cdk deploy' },
      dependencies: { 'overpool-cloud': `^${manifest.version}` },
      devDependencies: manifest.peerDependencies,
    })
    const { context } = JSON.parse(readFileSync(join(folder, 'cdk.json'), 'utf8'))
    expect(context, 'as in a clone').toEqual(JSON.parse(readFileSync(join(repository, 'cdk.json'), 'utf8')).context)
  })

  it('passes its own test', async () => {
    const { stdout } = await run(process.execPath, ['--experimental-strip-types', '--test'], {
      cwd: folder,
      env: { PATH: process.env.PATH },
    })
    expect(stdout).toMatch(/pass 1\n.*fail 0\n/s)
  })

  it('deploys without a clone: functions, and an image with the built sidecar', { timeout: 120_000 }, async () => {
    const out = join(folder, 'cdk.out')
    await run(process.execPath, ['app.mjs'], { cwd: folder, env: { PATH: process.env.PATH, CDK_OUTDIR: out } })
    const assets = readdirSync(out).filter((name) => name.startsWith('asset.'))
    const withFile = (name: string) => assets.filter((asset) => existsSync(join(out, asset, name))).map((asset) => join(out, asset))
    expect(withFile('index.mjs')).toHaveLength(2)
    const [image] = withFile('dist/sidecar/Dockerfile')
    const { dockerImages } = JSON.parse(readFileSync(join(out, 'Overpool.assets.json'), 'utf8'))
    const [{ source }] = Object.values(dockerImages) as [{ source: object }]
    expect(source).toMatchObject({ dockerFile: 'dist/sidecar/Dockerfile', dockerBuildArgs: { SOURCE: 'dist' } })
    const template = readFileSync(join(out, 'Overpool.template.json'), 'utf8')
    expect(template).toContain('"sidecar/main.js"')

    // What the Dockerfile does, without Docker.
    const work = join(folder, 'image')
    for (const name of ['shared', 'sidecar']) cpSync(join(image!, 'dist', name), join(work, name), { recursive: true })
    cpSync(join(image!, 'package.json'), join(work, 'package.json'))
    const lock = JSON.parse(readFileSync(join(image!, 'dist/package-lock.json'), 'utf8'))
    expect(lock.packages[''].dependencies).toEqual(manifest.dependencies)
    const started = (file: string) => run(process.execPath, [file], { cwd: work, env: {} })
    await expect(started('sidecar/main.js')).rejects.toMatchObject({ stderr: expect.stringContaining("code: 'BAD_CONFIG'") })
    await expect(started('sidecar/health.js'), 'there is no heartbeat').rejects.toMatchObject({ code: 1, stderr: '' })
  })

  it('says what is wrong with the config', async () => {
    writeFileSync(
      join(folder, 'overpool.config.ts'),
      "import { defineConfig } from 'overpool-cloud'\nexport default defineConfig({ pools: { A: {} } })\n",
    )
    await expect(run(process.execPath, ['app.mjs'], { cwd: folder })).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^overpool: the config is wrong: "A" cannot name a pool/),
    })
  })
})
