import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { folderLayout, readRunning } from '../local/folder.ts'
import { checkSettings } from '../shared/config/config.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { Project, pay, REPOSITORY } from './cli/project.ts'
import { until } from './machine/machine.ts'

// The pages cannot rot: their commands are run, their code is run, and the outcome is compared with what they show.

const page = (path: string) => readFileSync(join(REPOSITORY, path), 'utf8')
const CLI = page('docs/cli.md')
const REFERENCE = page('docs/reference.md')
const PAGES = [page('README.md'), page('docs/tutorial.md'), REFERENCE, CLI, page('docs/network.md')].join('\n')
const blocks = [...PAGES.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text: text! }))

interface Shown {
  command: string
  output: string
}

/** The commands of the console blocks, each with the output that is shown below it. */
const shown: Shown[] = blocks
  .filter(({ language }) => language === 'console')
  .flatMap(({ text }) => text.split(/^\$ /m).slice(1))
  .map((part) => ({ command: part.slice(0, part.indexOf('\n')), output: part.slice(part.indexOf('\n') + 1) }))
const showing = (prefix: string) => shown.find(({ command }) => command.startsWith(prefix))!

/** Source files that the pages write, by the path in their first line. */
const sources = blocks.filter(({ language }) => language === 'ts').map(({ text }) => ({ file: /^\/\/ (\S+)\n/.exec(text)![1]!, text }))

/** Output without what differs from run to run. */
function shape(output: string): string {
  return output
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/\b[0-9a-f]{64}\b/g, 'HASH')
    .replace(/"transaction":"[0-9a-f]+"/g, '"transaction":"HEX"')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\d+ bytes/g, 'N bytes')
    .replace(/^> .*\n+/gm, '') // npm's own
    .trim()
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

  it('have handlers and configs that work when they are saved, one after the other, while the machine runs', async () => {
    await using project = Project.template()
    const machine = await project.start()
    const save = async (n: number) => {
      const before = machine.err.match(/overpool: reloaded/g)?.length ?? 0
      project.write(sources[n]!.file, sources[n]!.text)
      await machine.says(new RegExp(`(overpool: reloaded[\\s\\S]+?){${before + 1}}|not reloaded`))
      expect(machine.err).not.toContain('not reloaded')
    }
    const post = (pool: string, text: string, memo?: string) => pay(`${machine.url}/${pool}`, sampleTransaction(text), memo)
    expect(sources.map(({ file }) => file)).toEqual([
      'functions/handlers/main.ts',
      'functions/handlers/main.ts',
      'overpool.config.ts',
      'overpool.config.ts',
    ])

    await save(0)
    expect(await post('mypool', 'edited')).toBe(200)
    await machine.says(/^mypool #0 pays 0 sat to false$/m)

    await save(1)
    expect(await post('mypool', 'loop', 'a walk')).toBe(200)
    await machine.says(/^step 3 of a walk$/m)
    expect(machine.out.match(/^step .+$/gm)).toEqual([0, 1, 2, 3].map((hops) => `step ${hops} of a walk`))

    await save(2)
    const refused = await fetch(`${machine.url}/mypool`, {
      method: 'POST',
      body: Buffer.from(JSON.stringify({ transaction: sampleTransaction('x') })),
    })
    expect([refused.status, await refused.json()]).toEqual([403, expect.objectContaining({ memo: 'say in the memo what you pay for' })])
    expect(await post('mypool', 'filtered', 'a coffee')).toBe(200)

    await save(3)
    for (const pool of ['mypool', 'coffee', 'orders']) expect(await post(pool, 'to each')).toBe(200)
    expect(await machine.stop()).toBe(0)
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
      } else await until(run, (out) => out === shape(output)) // the handler may not have written down that it is done
    }
  })

  it('have a program that runs', async () => {
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

  it('have every setting of a pool, with its default', () => {
    for (const [setting, value] of Object.entries(checkSettings({}, ''))) {
      const shownDefault = typeof value === 'string' ? `\`'${value}'\`` : value!.toLocaleString('en')
      expect(REFERENCE).toContain(`| \`${setting}\` | ${shownDefault} |`)
    }
  })

  it('have every command', async () => {
    await using project = new Project()
    const { out } = await project.result('--help')
    const commands = [...out.matchAll(/^ {2}([a-z]+)(?: \[options\]| <| {2})/gm)].map(([, name]) => name!)
    expect(commands.length).toBeGreaterThan(6)
    for (const name of commands.filter((each) => each !== 'help' && each !== 'overpool'))
      expect(CLI).toMatch(new RegExp(`^\\|.*\`${name}[ \`]`, 'm'))
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
