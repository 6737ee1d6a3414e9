import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { config, Project, pay, REPOSITORY } from './project.ts'

/** Prints each entry as `<word> pool#seq memo`. */
const printing = (word: string) => `export const onTx = (e) => console.log('${word}', e.path + '#' + e.seq, e.payment.memo)\n`

describe('overpool start', () => {
  it('prints the address, the pool, and a curl line that works; the handler of the template prints each entry on one line', async () => {
    await using project = Project.template()
    const machine = await project.start()
    expect(machine.out).toContain('/mypool  0 entries, handled by ./functions/handlers/main.ts')
    expect(machine.out).toContain('The ledger is in .overpool.')
    const [curl] = /^ +(curl .+)$/m.exec(machine.out)!
    for (let time = 0; time < 2; time++) {
      const pasted = project.run('sh', ['-c', curl])
      expect(await pasted.ended()).toBe(0)
      expect(JSON.parse(pasted.out)).toMatchObject({ error: 0, success: true, memo: 'Received into mypool' })
    }
    expect(await pay(`${machine.url}/mypool`, sampleTransaction('another'))).toBe(200)
    await machine.says(/^mypool #1 /m)
    expect(machine.out.match(/^mypool #.+$/gm)).toEqual([
      expect.stringMatching(/^mypool #0 {2}[0-9a-f]{64} {2}0 sat$/),
      expect.stringMatching(/^mypool #1 /),
    ])
    expect(machine.err).toBe('')
    expect(await machine.stop('SIGINT')).toBe(0)
    expect(machine.out).toMatch(/stopped; the pool is in \.overpool\n$/)
  })

  it.runIf(process.platform === 'linux')(
    'has the C library give memory back, and stays the process that its supervisor started',
    async () => {
      await using project = Project.of({ mypool: {} }, printing('got'))
      const env = { MALLOC_ARENA_MAX: '3', MALLOC_MMAP_THRESHOLD_: undefined }
      const machine = project.run(process.execPath, [join(REPOSITORY, 'package/overpool.cjs'), '--dir', 'here', 'start'], { env })
      await machine.says(/The ledger is in here\. Ctrl-C stops the machine/)
      const set = readFileSync(`/proc/${machine.child.pid}/environ`, 'utf8').split('\0')
      expect(set.filter((line) => line.startsWith('MALLOC_'))).toEqual(['MALLOC_ARENA_MAX=3', 'MALLOC_MMAP_THRESHOLD_=1048576'])
      expect(machine.err).toBe('')
      expect(await machine.stop('SIGINT')).toBe(0)
    },
  )

  it('goes on where it stopped: the next start handles nothing twice and skips nothing', async () => {
    await using project = Project.of({ mypool: {} }, printing('first'))
    const first = await project.start()
    for (const memo of ['a', 'b']) await pay(`${first.url}/mypool`, sampleTransaction(memo), memo)
    await first.says(/mypool#1 b/)
    expect(await first.stop('SIGTERM')).toBe(0)

    expect((await project.result('post', 'mypool', '--sample', '--memo', 'c')).code).toBe(0)
    project.write('handler.ts', printing('second'))
    const second = await project.start()
    expect(second.out).toMatch(/\/mypool {2}[23] entries, handled by/) // c may be in the ledger already
    await pay(`${second.url}/mypool`, sampleTransaction('a'), 'a') // a retry of an earlier payment
    await pay(`${second.url}/mypool`, sampleTransaction('d'), 'd')
    await second.says(/mypool#3 d/)
    expect(second.out.match(/^(first|second) .+$/gm)).toEqual(['second mypool#2 c', 'second mypool#3 d'])
    expect(await second.stop()).toBe(0)
  })

  it('fails beside a running machine, names that machine, and leaves it unchanged', async () => {
    await using project = Project.template()
    const running = await project.start()
    const second = await project.result('start')
    expect(second).toMatchObject({ code: 1, out: '' })
    expect(second.err).toMatch(
      new RegExp(
        `^overpool: another machine runs in .+ \\(process ${running.child.pid}, ${running.url}\\); stop it first, or set OVERPOOL_DIR`,
      ),
    )
    expect(await pay(`${running.url}/mypool`, sampleTransaction('still here'))).toBe(200)
    const elsewhere = await project.start([], { OVERPOOL_DIR: join(project.dir, 'other') })
    expect(await elsewhere.stop()).toBe(0)
  })

  it('fails on a port that another program uses, and leaves the folder free', async () => {
    await using project = Project.template()
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as { port: number }
    const refused = project.overpool(['start'], { env: { PORT: String(port) } })
    expect(await refused.ended()).toBe(1)
    expect(refused.err).toBe(
      `overpool: port ${port} is taken by another program: choose another one (PORT=3001, or PORT=0 for any free one)\n`,
    )
    other.close()
    const machine = await project.start()
    expect(await machine.stop()).toBe(0)
  })

  it('says that web pages can post, unless every pool says which ones', async () => {
    await using project = Project.of({ mypool: { origins: [] }, other: {} }, printing('saw'))
    const warning = /^Web pages that are open on this computer can post too\. The setting `origins` of a pool names those that may\.$/m
    const open = await project.start()
    expect(open.out).toMatch(warning)
    await open.stop()
    project.write('overpool.config.ts', config({ mypool: { origins: [] } }))
    const closed = await project.start()
    expect(closed.out).not.toMatch(warning)
    await closed.stop()
  })

  it('closes a pool to wallets that has no door: handlers and commands post into it', async () => {
    const handler = `export async function onTx(e, pool) {
      console.log('saw', e.path, e.source)
      if (e.path === 'shop') await pool.post({ path: 'books', payment: e.payment })
    }`
    await using project = Project.of({ shop: {}, books: { door: false } }, handler)
    const machine = await project.start()
    expect(machine.out).toContain('Nobody posts over HTTP into:\n\n  books  0 entries')
    expect(machine.out).not.toContain('/books')
    expect(await pay(`${machine.url}/books`, sampleTransaction('forged'))).toBe(404)
    expect(await pay(`${machine.url}/shop`, sampleTransaction('sold'))).toBe(200)
    await machine.says(/^saw books handler$/m)
    expect((await project.result('post', 'books', '--sample')).code).toBe(0)
    await machine.says(/^saw books api$/m)
    project.write('overpool.config.ts', config({ shop: {}, books: {} }))
    await machine.says(/reloaded/)
    expect(await pay(`${machine.url}/books`, sampleTransaction('open now'))).toBe(200)
    await machine.stop()
  })

  it('prints a line for each refusal, and counts those that are alike', async () => {
    await using project = Project.of({ mypool: {} }, printing('saw'))
    const machine = await project.start()
    for (let time = 0; time < 20; time++) expect(await pay(`${machine.url}/mypool`, '00')).toBe(422)
    expect(await pay(`${machine.url}/nopool`, sampleTransaction('lost'))).toBe(404)
    expect(await pay(`${machine.url}/mypool`, sampleTransaction('good'))).toBe(200)
    expect(await machine.stop()).toBe(0)
    const line =
      'warn overpool: refused POST /mypool: 422, bad transaction at byte 0: version of 4 bytes, but only 1 are left [BAD_TRANSACTION]'
    const lines = machine.err.trimEnd().split('\n')
    const [first, second, ...counts] = lines.map((each) => each.replace(/^\S+Z /, '')) // without the time
    expect([first, second]).toEqual([
      line,
      'warn overpool: refused POST /nopool: 404, no pool of this name takes payments here [POOL_NOT_FOUND]',
    ])
    expect(counts).toEqual(counts.map(() => expect.stringMatching(/^warn overpool: .+ \((once|\d+ times) more\)$/)))
    expect(counts.length).toBeGreaterThan(0)
    expect(counts.length).toBeLessThan(20)
  })

  it('prints the same as JSON with --json', async () => {
    await using project = Project.template()
    const machine = project.overpool(['start', '--json'])
    await machine.says(/\n/)
    expect(JSON.parse(machine.out)).toMatchObject({
      url: expect.stringMatching(/^http/),
      dir: join(project.dir, '.overpool'),
      pools: [{ path: 'mypool' }],
    })
    expect(await machine.stop()).toBe(0)
  })

  it('writes with --log json a log of one JSON value a line, with the start, what handlers print and throw, and the end', async () => {
    await using project = Project.of(
      { mypool: { maxAttempts: 1 } },
      "export const onTx = (e) => { console.log('got', e.seq); throw new Error('no such table') }\n",
    )
    const machine = project.overpool(['start', '--log', 'json'])
    const [, url] = await machine.says(/"kind":"started","url":"([^"]+)"/)
    expect(await pay(`${url}/mypool`, sampleTransaction('a'))).toBe(200)
    await machine.says(/"kind":"given-up"/)
    expect(await machine.stop()).toBe(0)
    const lines = machine.err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines).toMatchObject([
      { level: 'info', kind: 'started', pools: [{ path: 'mypool', url: `${url}/mypool` }] },
      { level: 'error', kind: 'given-up', handler: 'handler', pool: 'mypool', seq: 0 },
      { level: 'info', kind: 'stopped' },
    ])
    for (const { time, message } of lines) expect([Date.parse(time as string), typeof message]).toEqual([expect.any(Number), 'string'])
    expect(JSON.parse(machine.out)).toMatchObject({ level: 'info', printed: 'got 0' })
    expect(await project.result('start', '--log', 'xml')).toMatchObject({ code: 2 })
  })

  it('prints with --json nothing but JSON: reports, what handlers print, and the end', async () => {
    const handler = `export const onTx = (e) => {
      console.log('got %s', e.payment.memo)
      console.error('to\\nstderr')
      if (e.payment.memo === 'bad') throw new Error('no such table')
    }`
    await using project = Project.of({ mypool: { maxAttempts: 1 } }, handler)
    const machine = project.overpool(['start', '--json'])
    const [line] = await machine.says(/\{.*\}\n/)
    await pay(`${JSON.parse(line!).url}/mypool`, sampleTransaction('a'), 'bad')
    await machine.says(/given-up/)
    project.write('handler.ts', 'const x = ;')
    await machine.says(/not reloaded/)
    expect(await machine.stop()).toBe(0)
    const values = (text: string) => Array.from(text.trimEnd().split('\n'), (value) => JSON.parse(value))
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    expect(values(machine.out)).toMatchObject([{ pools: [{}] }, { time, level: 'info', printed: 'got bad' }, { stopped: true }])
    expect(values(machine.err)).toMatchObject([
      { time, level: 'error', printed: 'to\nstderr' },
      {
        time,
        level: 'error',
        kind: 'given-up',
        handler: 'handler',
        pool: 'mypool',
        seq: 0,
        message: expect.stringContaining('no such table'),
      },
      { time, level: 'error', message: expect.stringMatching(/^not reloaded/) },
    ])
  })

  it('logs with times and levels', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 } }, `export const onTx = () => { throw new Error('no such table') }`)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(/^\d{4}-\d\d-\d\dT[\d:.]+Z error overpool: handler handler gave up mypool #0/m)
    project.write('handler.ts', printing('got'))
    await machine.says(/^\S+Z info overpool: reloaded/m)
    expect(await machine.stop()).toBe(0)
  })

  it('prints a curl line that the filter takes: with a memo, of a pool that takes one, or the newest payment again', async () => {
    await using project = new Project()
    const filtered = (...filters: string[]) =>
      project.write(
        'overpool.config.ts',
        `export default { handler: './handler.ts', pools: { ${filters.map((filter, i) => `pool${i}: { filter: ${filter} }`).join(', ')} } }`,
      )
    project.write('handler.ts', printing('got'))
    const posts = async () => {
      const machine = await project.start()
      const [curl] = /^ +(curl .+)$/m.exec(machine.out) ?? []
      const pasted = curl === undefined ? undefined : project.run('sh', ['-c', curl])
      await pasted?.ended()
      const { url, out } = machine
      return { url, out, machine, curl, answer: pasted && JSON.parse(pasted.out) }
    }
    const byMemo = `(p) => { if (!p.memo) throw new Error("say what it's for") }`
    const byOrder = `(p) => { if (p.merchantData !== "it's order 7") throw new Error('no such order') }`
    filtered(byMemo)
    const first = await posts()
    expect(first.answer).toMatchObject({ success: true, memo: 'Received into pool0' })
    expect(await first.machine.stop()).toBe(0)

    filtered(byOrder)
    const second = await posts()
    expect(second.curl).toBeUndefined()
    expect(second.out).toContain('The filter refuses a sample payment, so post one that it takes:\n\n  pool0: no such order\n')
    expect(await second.machine.stop()).toBe(0)

    filtered(byOrder, byMemo)
    const third = await posts()
    expect(third.answer).toMatchObject({ success: true, memo: 'Received into pool1' })
    const order = { transaction: sampleTransaction('an order'), merchantData: "it's order 7" }
    const headers = { 'content-type': 'application/json' }
    expect((await fetch(`${third.url}/pool0`, { method: 'POST', headers, body: JSON.stringify(order) })).status).toBe(200)
    await third.machine.says(/got pool0#1/)
    expect(await third.machine.stop()).toBe(0)

    const fourth = await posts()
    expect(fourth.answer).toMatchObject({ success: true, memo: 'Received into pool0', payment: order })
    expect(await fourth.machine.stop()).toBe(0)
  })

  it('lets the handler finish its entry when it is interrupted; a second interrupt ends it at once, and the entry comes again', async () => {
    const waiting = `
      import { existsSync } from 'node:fs'
      import { setTimeout } from 'node:timers/promises'
      export async function onTx(e) {
        console.log('began', e.seq)
        while (!existsSync('go')) await setTimeout(10)
        console.log('ended', e.seq)
      }`
    await using project = Project.of({ mypool: {} }, waiting)
    const hurried = await project.start()
    await pay(`${hurried.url}/mypool`, sampleTransaction('slow'))
    await hurried.says(/began 0/)
    hurried.child.kill('SIGINT')
    hurried.child.kill('SIGTERM') // npm forwards the terminal's signal, which has also reached us: both count as one
    await hurried.says(/waiting for a handler to finish its entry/)
    expect(await hurried.stop()).toBe(130)

    const patient = await project.start()
    await patient.says(/began 0/)
    patient.child.kill('SIGINT')
    await patient.says(/waiting for a handler to finish its entry/)
    project.write('go', '')
    expect(await patient.ended()).toBe(0)
    expect(patient.out).toContain('ended 0')

    const next = await project.start()
    await pay(`${next.url}/mypool`, sampleTransaction('next'))
    await next.says(/ended 1/)
    expect(next.out).not.toContain('began 0')
  })
})

describe('files that are saved while the machine runs', () => {
  it('take effect at the next entry, while the current entry finishes with the old code', async () => {
    await using project = Project.of(
      { mypool: {} },
      `import { existsSync } from 'node:fs'
       import { setTimeout } from 'node:timers/promises'
       export async function onTx(e) {
         console.log('old begins', e.seq)
         while (!existsSync('go')) await setTimeout(10)
         console.log('old ends', e.seq)
       }`,
    )
    const machine = await project.start()
    for (const text of ['a', 'b']) await pay(`${machine.url}/mypool`, sampleTransaction(text))
    await machine.says(/old begins 0/)
    project.write('handler.ts', printing('new'))
    await machine.says(/overpool: reloaded/)
    project.write('go', '')
    await machine.says(/new mypool#1/)
    expect(machine.out.match(/^(old|new) .+$/gm)).toEqual(['old begins 0', 'old ends 0', 'new mypool#1 undefined'])
  })

  it('with a mistake are named with its place, and the old code runs on until the mistake is mended, in any file', async () => {
    await using project = Project.of({ mypool: {} }, printing('old'))
    const machine = await project.start()
    project.write('handler.ts', `${printing('new')}\nconst x = ;\n`)
    await machine.says(/overpool: not reloaded, the last good version goes on: handler\.ts:3:11: Unexpected ";"/)
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(/old mypool#0/)

    project.write('part.ts', 'export const word = \n')
    project.write('handler.ts', `import { word } from './part.ts'\n${printing("' + word + '")}`)
    await machine.says(/goes on: part\.ts:2:1: Unexpected end of file/)
    project.write('part.ts', `export const word = 'mended'\n`)
    await machine.says(/overpool: reloaded/)
    await pay(`${machine.url}/mypool`, sampleTransaction('b'))
    await machine.says(/mended mypool#1/)

    project.write('handler.ts', `\nnull.x\n${printing('bad')}`)
    await machine.says(/goes on: handler\.ts:2:6: TypeError: Cannot read properties of null/)
    project.write('overpool.config.ts', config({ mypool: { maxAttempts: -1 } }))
    project.write('handler.ts', printing('good'))
    await machine.says(/goes on: the config is wrong: pools\.mypool\.maxAttempts/)
    await pay(`${machine.url}/mypool`, sampleTransaction('c'))
    await machine.says(/mended mypool#2/)
    project.write('overpool.config.ts', config({ mypool: {} }))
    await machine.says(/overpool: reloaded[\s\S]+overpool: reloaded/)
    await pay(`${machine.url}/mypool`, sampleTransaction('d'))
    await machine.says(/good mypool#3/)
    expect(await machine.stop()).toBe(0)
  })

  it('add a pool, remove it, and add it again: its ledger stays', async () => {
    await using project = Project.of({ first: {} }, printing('got'))
    const machine = await project.start()
    const post = (pool: string, text: string) => pay(`${machine.url}/${pool}`, sampleTransaction(text))
    expect([await post('first', 'a'), await post('second', 'a')]).toEqual([200, 404])
    project.write('overpool.config.ts', config({ first: {}, second: {} }))
    await machine.says(/reloaded; payments are taken at \S+\/first, \S+\/second\n/)
    expect(await post('second', 'b')).toBe(200)
    await machine.says(/got second#0/)

    project.write('overpool.config.ts', config({ second: {} }))
    await machine.says(/reloaded; payments are taken at \S+\/second\n/)
    expect([await post('first', 'c'), await post('second', 'c')]).toEqual([404, 200])
    const pools = (await project.result('pools', '--json')).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(pools).toMatchObject([{ path: 'first', entries: 1 }, { path: 'second' }])

    project.write('overpool.config.ts', config({ first: {}, second: {} }))
    await machine.says(/(reloaded[\s\S]+){3}\n/)
    expect(await post('first', 'd')).toBe(200)
    await machine.says(/got first#1/)
  })
})

describe('a mistake gives a sentence without a stack trace, and exit code 1:', () => {
  const handler = printing('got')
  it.each<[what: string, files: Record<string, string | undefined>, sentence: RegExp]>([
    ['no config', { 'overpool.config.ts': undefined }, /^overpool: there is no overpool\.config\.ts; write one:\n\n {2}import/],
    [
      'a config that exports nothing',
      { 'overpool.config.ts': 'export const config = {}' },
      /it has no `pools`; write: export default defineConfig/,
    ],
    ['a config without pools', { 'overpool.config.ts': 'export default {}' }, /it has no `pools`; write: export default defineConfig/],
    ['a handler that does not exist', { 'handler.ts': undefined }, /the config names a handler \.\/handler\.ts, and there is no such file/],
    [
      'a handler that exports nothing',
      { 'handler.ts': 'export const x = 1' },
      /\.\/handler\.ts exports no onTx; write: export async function onTx\(e, pool\)/,
    ],
    ['a config that does not parse', { 'overpool.config.ts': 'export default {\n  pools: {\n' }, /^overpool: overpool\.config\.ts:3:1: /],
    ['a handler that does not parse', { 'handler.ts': 'export const onTx = (e =>\n' }, /^overpool: handler\.ts:2:1: /],
    [
      'a handler that fails when it is loaded',
      { 'handler.ts': `${handler}\nmissing()\n` },
      /^overpool: handler\.ts:3:1: ReferenceError: missing is not defined/,
    ],
    [
      'a package that is not installed',
      { 'handler.ts': `import x from 'no-such-package'\nexport const onTx = x\n` },
      /^overpool: handler\.ts:1:\d+: Could not resolve "no-such-package"/,
    ],
    [
      'an unknown setting',
      { 'overpool.config.ts': config({ mypool: { maxAttempt: 3 } }) },
      /there is no setting `pools\.mypool\.maxAttempt`; there are batchMs, .*filter, .*maxAttempts, .*publish/,
    ],
    ['an invalid name of a pool', { 'overpool.config.ts': config({ 'My Pool': {} }) }, /"My Pool" cannot name a pool: use 1 to 63 of a-z/],
  ])('%s', async (_, files, sentence) => {
    await using project = Project.of({ mypool: {} }, handler)
    for (const [file, text] of Object.entries(files)) {
      if (text === undefined) rmSync(join(project.dir, file))
      else project.write(file, text)
    }
    const { code, out, err } = await project.result('start')
    expect(err).toMatch(sentence)
    expect([code, out]).toEqual([1, ''])
    expect(err).not.toMatch(/^ +at /m)
  })

  it.each([
    ['PORT=abc', [], { PORT: 'abc' }, /PORT=abc is no port: that is a number from 0 to 65535/],
    ['--port 65536', ['--port', '65536'], {}, /'65536' is invalid\. a port is a number from 0 to 65535/],
    ['an invalid --host', ['--host', 'no such host'], {}, /cannot listen on no such host/],
    ['a folder that is a file', [], { OVERPOOL_DIR: 'handler.ts' }, /handler\.ts cannot be the folder of a machine/],
  ])('%s (wrong usage: exit code 2)', async (_, args, env, sentence) => {
    await using project = Project.of({ mypool: {} }, handler)
    const program = project.overpool(['start', ...args], { env })
    expect(await program.ended()).toBe(2)
    expect(program.err).toMatch(sentence)
    expect(program.err).not.toMatch(/^ +at /m)
  })

  it('a ledger without its seed, or with another machine’s', async () => {
    await using project = Project.template()
    expect(await (await project.start()).stop()).toBe(0)
    const seed = join(project.dir, '.overpool/seed')
    rmSync(seed)
    expect(await project.result('start')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/seed is missing, and the ledger beside it was signed with it: put it back/),
    })
    expect(existsSync(seed)).toBe(false)
    project.write('.overpool/seed', `${'00'.repeat(32)}\n`)
    expect(await project.result('start')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/is not the one that "mypool" was made with/),
    })
  })

  it('a failing handler, which is shown with its place in the user’s file', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 2 } }, '')
    mkdirSync(join(project.dir, 'lib'))
    project.write(
      'lib/price.ts',
      `export function priceOf(e: { path: string }): number {\n  return (undefined as never as { price: number }).price\n}\n`,
    )
    project.write('handler.ts', `import { priceOf } from './lib/price.ts'\nexport const onTx = (e) => {\n  priceOf(e)\n}\n`)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(/gave up mypool #0 and goes on; `overpool redrive mypool` tries it again: TypeError/)
    await machine.stop()
    const [first, ...frames] = machine.err
      .split(/^\S+Z \w+ overpool: /m)[1]!
      .trim()
      .split('\n')
    expect(first).toMatch(/^handler handler failed at mypool #0 \(attempt 1, it is retried\): TypeError: Cannot read/)
    expect(frames.map((frame) => frame.trim().replace(`${project.dir}/`, ''))).toEqual([
      expect.stringMatching(/^at priceOf \(lib\/price\.ts:2:\d+\)$/),
      expect.stringMatching(/^at [^/]*handler\.ts:3:\d+\)?$/),
    ])
  })
})
