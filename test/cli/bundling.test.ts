import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { bundleHandler } from '../../cdk/bundle.ts'
import { FileWatch } from '../../local/watch.ts'
import { ENV } from '../../shared/config/env.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { config, Project, pay } from './project.ts'

/** A handler that says at its load, and at each entry, what `code` says. */
const saying = (code: string) => `${code}\nconsole.log('loaded', said())\nexport const onTx = () => console.log('handles', said())\n`

/** Ways to be made of several files. Each handler says `old`, a word of its part. */
const WAYS: [way: string, handler: string, part: string, files: Record<string, string>][] = [
  [
    'a relative import',
    saying("import { word } from './part.ts'\nconst said = () => word"),
    'part.ts',
    { 'part.ts': "export const word: string = 'old'\n" },
  ],
  [
    'paths of tsconfig.json',
    saying("import { word } from '@/word'\nconst said = () => word"),
    'src/word.ts',
    { 'tsconfig.json': '{ "compilerOptions": { "paths": { "@/*": ["./src/*"] } } }', 'src/word.ts': "export const word: string = 'old'\n" },
  ],
  [
    '#imports of package.json, also under a name that our own functions use',
    saying("import { word } from '#config'\nconst said = () => word"),
    'src/word.ts',
    { 'package.json': '{ "imports": { "#config": "./src/word.ts" } }', 'src/word.ts': "export const word: string = 'old'\n" },
  ],
  [
    'a TypeScript package of the workspace',
    saying("import { Word } from '@my/words'\nconst said = () => Word.Said"),
    'packages/words/src/index.ts',
    {
      'packages/words/package.json': '{ "name": "@my/words", "exports": "./src/index.ts" }',
      'packages/words/src/index.ts': "export enum Word { Said = 'old' }\n",
    },
  ],
]

function write(project: Project, files: Record<string, string>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(project.dir, file)), { recursive: true })
    project.write(file, text)
  }
  if (!files['packages/words/package.json']) return
  mkdirSync(join(project.dir, 'node_modules/@my'), { recursive: true })
  symlinkSync('../../packages/words', join(project.dir, 'node_modules/@my/words'))
}

/** What a handler prints when the function that it is bundled into for AWS is loaded. */
async function onAws(project: Project, handler = 'handler.ts'): Promise<string> {
  const file = join(project.dir, handler)
  const { dir } = await bundleHandler('main', { file, named: handler }, join(project.dir, 'overpool.config.ts'))
  return execFileSync(
    process.execPath,
    ['--input-type=module', '-e', `await import(${JSON.stringify(pathToFileURL(join(dir, 'index.mjs')))})`],
    {
      env: { AWS_REGION: 'us-east-1', ...Object.fromEntries(ENV.handler.required.map((name) => [name, `https://example.com/${name}`])) },
      encoding: 'utf8',
    },
  )
}

describe('a handler that is made of', () => {
  it.each(WAYS)('%s is one bundle here and on AWS, and is reloaded when any of its files is saved', async (_, handler, part, files) => {
    await using project = Project.of({ mypool: {} }, handler)
    write(project, files)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(/^handles old$/m)
    expect(await onAws(project)).toBe('loaded old\n')
    project.write(part, files[part]!.replace('old', 'new'))
    await machine.says(/overpool: reloaded/)
    await pay(`${machine.url}/mypool`, sampleTransaction('b'))
    await machine.says(/^handles new$/m)
  })

  it('CommonJS requires built-in modules, its own files and installed packages, and knows its place', async () => {
    await using project = new Project()
    project.write('overpool.config.ts', config({ mypool: {} }, './common.cjs'))
    write(project, {
      'node_modules/esm/package.json': '{ "name": "esm", "type": "module", "exports": "./index.js" }',
      'node_modules/esm/index.js': "export const word = 'esm'\n",
      'node_modules/cjs/index.js': "exports.word = 'cjs ' + require('node:path').basename(__dirname || 'none')\n",
      'part.js': "exports.word = require('fs').existsSync(__filename) && require('node:path').isAbsolute(__dirname)\n",
      'common.cjs': `
        const { word } = require('./part.js')
        const said = [word, require('esm').word, require('cjs').word.slice(0, 3), typeof require('node:crypto').randomUUID].join(' ')
        console.log('loaded', said)
        module.exports = { onTx: (e) => console.log('handles', said) }`,
    })
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(/^handles true esm cjs function$/m)
    expect(await onAws(project, 'common.cjs')).toBe('loaded true esm cjs function\n')
  })

  it('files that it reads finds them by import.meta and by __dirname of its own', async () => {
    await using project = Project.of({ mypool: {} }, '')
    write(project, {
      'data.txt': 'the data',
      'lib/read.ts': `
        import { readFileSync } from 'node:fs'
        import { dirname } from 'node:path'
        import { fileURLToPath } from 'node:url'
        const __dirname = dirname(fileURLToPath(import.meta.url))
        export const read = () => [new URL('../data.txt', import.meta.url), __dirname + '/../data.txt', import.meta.dirname + '/../data.txt'].map((file) => readFileSync(file, 'utf8')).join()`,
      'handler.ts': `import { read } from './lib/read.ts'\nexport const onTx = () => console.log('handles', read(), import.meta.filename)\n`,
    })
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(new RegExp(`^handles the data,the data,the data ${join(project.dir, 'handler.ts')}$`, 'm'))
  })
})

describe('a reload', () => {
  const handler = (word: string) => `export const onTx = () => console.log('handles', '${word}')\n`

  it('does not wait for files that others write in the folder, also after a mistake', async () => {
    await using project = Project.of({ mypool: {} }, handler('old'))
    const machine = await project.start()
    const busy = project.run('sh', ['-c', 'while :; do echo more >> handler.log; done'])
    project.write('handler.ts', 'export const onTx = ;\n')
    await machine.says(/overpool: not reloaded/)
    project.write('handler.ts', handler('new'))
    await machine.says(/overpool: reloaded/)
    expect(busy.isOver).toBe(false)
    await busy.stop('SIGKILL')
    expect(machine.err.match(/reloaded/g)).toHaveLength(2)
  })

  it('also comes for a file that was saved after it was read, and before it was watched', async () => {
    await using project = Project.of({}, handler('old'))
    const since = Date.now()
    write(project, { 'lib/part.ts': '' })
    let watch: FileWatch
    await new Promise<void>((changed, failed) => {
      watch = new FileWatch({ changed, failed })
      watch.watch([join(project.dir, 'lib/part.ts')], since)
    }).finally(() => watch.close())
  })

  it('comes when a file appears whose import failed, in a folder that was not there', async () => {
    await using project = Project.of({ mypool: {} }, handler('old'))
    const machine = await project.start()
    project.write('handler.ts', `import { word } from './lib/deep/word.js'\n${handler("' + word + '")}`)
    await machine.says(/not reloaded, .*Could not resolve "\.\/lib\/deep\/word\.js"/)
    write(project, { 'lib/deep/word.ts': "export const word = 'new'\n" })
    await machine.says(/overpool: reloaded/)
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(/^handles new$/m)
  })
})

/** Runs the machine where the system gives it so many inotify watches. */
const withWatches = (project: Project, watches: number) =>
  project.run('unshare', [
    '--user',
    '--map-root-user',
    'sh',
    '-c',
    `echo ${watches} > /proc/sys/user/max_inotify_watches && exec "$0" "$@"`,
    process.execPath,
    join(import.meta.dirname, '../../cli/main.ts'),
    'start',
  ])
const canLimit = spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', 'echo 9 > /proc/sys/user/max_inotify_watches']).status === 0

describe.skipIf(!canLimit)('a machine to which the system gives no more watches', () => {
  const handler = "export const onTx = () => console.log('handles it')\n"

  it('starts, goes on without reloads, and says so', async () => {
    await using project = Project.of({ mypool: {} }, handler)
    const machine = withWatches(project, 0)
    await machine.says(/Ctrl-C stops the machine/)
    await machine.says(/overpool: some files cannot be watched: .*max_user_watches/)
    await pay(`${/http:\/\/[\d.:]+/.exec(machine.out)![0]}/mypool`, sampleTransaction('a'))
    await machine.says(/^handles it$/m)
    expect(await machine.stop()).toBe(0)
  })

  it('goes on when a saved file needs one more', async () => {
    await using project = Project.of({ mypool: {} }, handler)
    const machine = withWatches(project, 1)
    await machine.says(/Ctrl-C stops the machine/)
    expect(machine.err).toBe('')
    write(project, { 'lib/part.ts': 'export const word = 1\n' })
    project.write('handler.ts', `import './lib/part.ts'\n${handler}`)
    await machine.says(/overpool: some files cannot be watched/)
    await pay(`${/http:\/\/[\d.:]+/.exec(machine.out)![0]}/mypool`, sampleTransaction('a'))
    await machine.says(/^handles it$/m)
    expect(await machine.stop()).toBe(0)
  })
})
