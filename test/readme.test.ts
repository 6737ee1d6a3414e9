import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { folderLayout, readRunning } from '../local/folder.ts'
import { checkSettings } from '../shared/config/config.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { freeUdpPort, type Program, Project, pay, REPOSITORY } from './cli/project.ts'
import { until } from './machine/machine.ts'

// These tests run the commands and the code of the pages, and compare the results with what the pages show.

const page = (path: string) => readFileSync(join(REPOSITORY, path), 'utf8')
const CLI = page('docs/cli.md')
const REFERENCE = page('docs/reference.md')
const PAGES = [page('README.md'), page('docs/tutorial.md'), REFERENCE, CLI, page('docs/network.md')].join('\n')
const blocksOf = (text: string) => [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language, text: code! }))
const blocks = blocksOf(PAGES)

interface Shown {
  command: string
  output: string
}

/** The commands of a console block, each with the output below it. */
function commandsOf(text: string): Shown[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => ({ command: part.slice(0, part.indexOf('\n')), output: part.slice(part.indexOf('\n') + 1) }))
}

const shown: Shown[] = blocks.filter(({ language }) => language === 'console').flatMap(({ text }) => commandsOf(text))
const showing = (prefix: string) => shown.find(({ command }) => command.startsWith(prefix))!

/** Output with placeholders for what differs from run to run. */
function shape(output: string): string {
  return output
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/\b[0-9a-f]{64}\b/g, 'HASH')
    .replace(/#token=[\w-]{32}/g, '#token=TOKEN')
    .replace(/"transaction":"[0-9a-f]+"/g, '"transaction":"HEX"')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\d+ bytes/g, 'N bytes')
    .replace(/^> .*\n+/gm, '') // npm prints these lines
    .trim()
}

/** A reader who does what docs/tutorial.md says. */
class Tutorial {
  readonly #project = Project.template()
  readonly #overpool = `${process.execPath} ${join(REPOSITORY, 'cli/main.ts')}`
  /** The machine of `npm start`. */
  #machine: Program | undefined
  /** The machine that was started last. */
  #started: Program | undefined
  /** The addresses, txids and keys that the page shows, with those of this run. */
  readonly #here = new Map<string, string>()

  /** The page's text with the addresses, txids and keys of this run. */
  #inThisRun(text: string): string {
    return [...this.#here].reduce((written, [shown, here]) => written.replaceAll(shown, here), text)
  }

  #command(command: string): string {
    return this.#inThisRun(command)
      .replace(/^npm start/, `${this.#overpool} start`)
      .replace('npx overpool', this.#overpool)
      .replace(/PORT=\d+/, 'PORT=0') // any free port
  }

  /** Saves a file. The running machine reloads it, unless the file is another machine's or has settings that are read only at the start. */
  async save(text: string): Promise<void> {
    const [, file] = /^\/\/ (\S+)\n/.exec(text)!
    const loads = () => this.#machine!.err.match(/overpool: (not )?reloaded/g) ?? []
    const before = loads().length
    this.#project.write(file!, this.#inThisRun(text))
    if (file!.startsWith('ben') || text.includes('network:')) return
    const after = await until(loads, (all) => all.length > before)
    expect(after.at(-1), this.#machine!.err).toBe('overpool: reloaded')
  }

  /** Kills the machine that runs, starts a program, and compares what it prints at its start. */
  async start(command: string, output: string): Promise<void> {
    const isPublicKey = command === 'npm start'
    const [, port] = /--port (\d+)/.exec(command) ?? []
    if (port) this.#here.set(port, String(await freeUdpPort()))
    if (isPublicKey) await this.#machine?.stop('SIGKILL')
    const program = this.#project.run('sh', ['-c', `exec env ${this.#command(command)}`])
    if (!port) this.#started = program // a DHT node prints nothing after its start
    await program.says(/Ctrl-C stops/)
    expect(shape(program.out), command).toBe(shape(output))
    const address = /[\d.]+:\d+/
    this.#here.set(address.exec(output)![0], address.exec(program.out)![0])
    if (isPublicKey) this.#machine = program
  }

  /** Runs a command and compares what it prints. A command that only reads is repeated until it prints that. */
  async type(command: string, output: string): Promise<void> {
    const onlyReads = /overpool (pools|status|tail|verify)/.test(command)
    const end = performance.now() + 60_000
    let out: string
    do {
      const program = this.#project.run('sh', ['-c', this.#command(command)])
      await program.ended()
      out = program.out
    } while (onlyReads && shape(out) !== shape(output) && performance.now() < end)
    expect(shape(out), command).toBe(shape(output))
    const hashes = (text: string) => text.match(/\b[0-9a-f]{64}\b/g) ?? []
    for (const [i, shown] of hashes(output).entries()) this.#here.set(shown, hashes(out)[i]!)
  }

  /** Waits until the machine that was started last has printed these lines, in this order. */
  async prints(text: string): Promise<void> {
    const missing = () => {
      const lines = shape(text).split('\n')
      for (const line of shape(this.#started!.out).split('\n')) if (line === lines[0]) lines.shift()
      return lines
    }
    await until(missing, (lines) => lines.length === 0, 60_000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#project[Symbol.asyncDispose]()
  }
}

describe('the README and the docs', () => {
  it('show what npm start prints, with a curl line that works as it is pasted', async () => {
    await using project = Project.template()
    const machine = project.run('npm', ['start'], { env: { OVERPOOL_DIR: join(project.dir, '.overpool') }, cwd: REPOSITORY })
    await machine.says(/Ctrl-C stops/)
    const [curl] = /^ +(curl .+)$/m.exec(machine.out)!
    const pasted = project.run('sh', ['-c', curl])
    expect(await pasted.ended()).toBe(0)
    expect(JSON.parse(pasted.out)).toMatchObject({ error: 0, success: true })
    await machine.says(/^mypool #0 .*\n/m)
    expect(shape(machine.out.replaceAll(join(project.dir, '.overpool'), '.overpool'))).toBe(shape(showing('npm start').output))
    expect(await machine.stop('SIGINT'), 'npm passes it on').toBe(0)
  })

  it('show how npm test ends', () => {
    expect(showing('npm test').output).toMatch(
      /^ Test Files {2}\d+ passed \(\d+\)\n {6}Tests {2}\d+ passed \(\d+\)\n {3}Duration {2}[\d.]+s .*\n$/,
    )
  })

  it('show the answer to the curl line of the tutorial', async () => {
    await using project = Project.template()
    const machine = await project.start()
    const { command, output } = showing('curl')
    for (let time = 0; time < 2; time++) {
      const pasted = project.run('sh', ['-c', command.replace('http://127.0.0.1:3000', machine.url)])
      expect(await pasted.ended()).toBe(0)
      expect(`${pasted.out}\n`).toBe(output)
    }
    await machine.says(/^mypool #0/m)
    expect((await project.result('tail', 'mypool')).out.trim().split('\n')).toHaveLength(1)
  })

  it('have a tutorial whose steps print what it shows', { timeout: 240_000 }, async () => {
    await using tutorial = new Tutorial()
    for (const { language, text } of blocksOf(page('docs/tutorial.md'))) {
      if (language === 'ts') await tutorial.save(text)
      if (language === 'text') await tutorial.prints(text)
      if (language !== 'console') continue
      for (const { command, output } of commandsOf(text)) {
        if (/^npm start|overpool (start|dht)/.test(command)) await tutorial.start(command, output)
        else await tutorial.type(command, output)
      }
    }
  })

  it('show what the commands print', async () => {
    await using project = Project.template()
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('the first'))
    await machine.says(/^mypool #0/m)
    const lines = shown.filter(({ command }) => command.startsWith('overpool '))
    expect(lines.map(({ command }) => command.split(' ')[1])).toEqual(['post', 'tail', 'pools', 'verify', 'redrive'])
    for (const { command, output } of lines) {
      const args = [...command.slice('overpool '.length).matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)
      const run = async () => shape((await project.result(...args)).out)
      if (args[0] === 'post') {
        expect(await run()).toBe(shape(output))
        await machine.says(/^mypool #1/m)
      } else await until(run, (out) => out === shape(output)) // the handler may not have written its cursor yet
    }
  })

  it('show a program that runs', async () => {
    await using project = new Project()
    const program = blocks
      .find(({ language }) => language === 'js')!
      .text.replace("require('overpool-cloud')", `(await import(${JSON.stringify(join(REPOSITORY, 'index.ts'))})).Overpool`)
      .replace('port: 3000', 'port: 0')
    project.write('program.mjs', program)
    const running = project.run(process.execPath, ['program.mjs'])
    const [url] = await until(
      () => readRunning(join(project.dir, '.overpool'))?.urls ?? [],
      (urls) => urls.length > 0,
    )
    await until(
      () => pay(`${url}/mypool`, sampleTransaction('to the program')),
      (status) => status === 200,
    )
    await running.says(/^new payment event [0-9a-f]{64}$/m)
    expect(existsSync(folderLayout(join(project.dir, '.overpool')).seed)).toBe(true)
  })

  it('list every setting of a pool, with its default', () => {
    for (const [setting, value] of Object.entries(checkSettings({}, ''))) {
      const shownDefault = typeof value === 'string' ? `\`'${value}'\`` : (value as number).toLocaleString('en')
      expect(REFERENCE).toContain(`| \`${setting}\` | ${shownDefault} |`)
    }
  })

  it('list every command', async () => {
    await using project = new Project()
    const { out } = await project.result('--help')
    const commands = [...out.matchAll(/^ {2}([a-z]+)(?: \[options\]| <| {2})/gm)].map(([, name]) => name!)
    expect(commands.length).toBeGreaterThan(6)
    for (const name of commands.filter((each) => each !== 'help' && each !== 'overpool'))
      expect(CLI).toMatch(new RegExp(`^\\|.*\`${name}[ \`]`, 'm'))
  })

  it('name for each promise tests and rules that exist', () => {
    const promises = [...page('docs/design.md').matchAll(/^### (\d+)\. (?:.+\n+)(?:(?!#|Tests: ).*\n+)*Tests: (.+)$/gm)]
    expect(promises.map(([, number]) => number)).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10'])
    const rules = [...page('test/schedules/left-out.test.ts').matchAll(/^ {4}rule: (['"])(.+)\1,$/gm)].map(([, , rule]) => rule!)
    for (const [, number, tests] of promises) {
      const files = tests!.replace(/\(rules [^)]+\)/g, '').matchAll(/(test\/)?([\w/-]+)(?= and |, |\s*$)/g)
      let folder = ''
      for (const [, isWhole, name] of files) {
        const path = isWhole ? `test/${name}` : `${folder}/${name}`
        if (isWhole) folder = dirname(path)
        const isThere = existsSync(join(REPOSITORY, path)) || existsSync(join(REPOSITORY, `${path}.test.ts`))
        expect(isThere, `Promise ${number} names ${path}`).toBe(true)
      }
      for (const [, begin] of tests!.matchAll(/"([^"]+?)(?: …)?"/g))
        expect(
          rules.filter((rule) => rule.startsWith(begin!)),
          `Promise ${number} names the rule "${begin}"`,
        ).not.toEqual([])
    }
  })

  it('link to pages and headings that exist', () => {
    const pages = ['README.md', ...readdirSync(join(REPOSITORY, 'docs')).map((name) => `docs/${name}`)]
    const anchors = (text: string) =>
      [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
        title!
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-'),
      )
    for (const path of pages) {
      for (const [, target, anchor] of page(path).matchAll(/\]\(([^)#:]*)(?:#([^)]+))?\)/g)) {
        const file = target ? join(path, '..', target) : path
        expect(existsSync(join(REPOSITORY, file)), `${path} links to ${file}`).toBe(true)
        if (anchor) expect(anchors(page(file)), `${path} links to ${file}#${anchor}`).toContain(anchor)
      }
    }
  })
})
