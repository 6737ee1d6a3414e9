import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folderLayout } from '../../local/folder.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import { idOfChainBlock, idOfStatus } from '../../shared/ledger/ids.ts'
import type { Entry } from '../../shared/ledger/kinds.ts'
import { encodeIngress } from '../../shared/ledger/messages.ts'
import { dataTransaction, scanTransaction } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { Project, pay, REPOSITORY } from './project.ts'

const PRINTING = `export const onTx = (e) => console.log('got', e.path + '#' + e.seq, e.payment.memo)\n`
/** Throws at an entry with the memo "bad" until the file "mended" exists. */
const STUMBLING = `
  import { existsSync } from 'node:fs'
  export const onTx = (e) => {
    if (e.payment.memo === 'bad' && !existsSync('mended')) throw new Error('no such table: orders')
    console.log('got', e.path + '#' + e.seq)
  }`
/** So many entries of 5 MB are several times what the heap of the command holds. */
const LARGE = 20

/** A transaction with 5 MB of data. */
function largeTransaction(n: number): string {
  const script = Buffer.concat([Buffer.of(0x00, 0x6a, 0x4e), uint32(DATA_BYTES), Buffer.alloc(DATA_BYTES, 'a'.charCodeAt(0) + n)]) // OP_FALSE OP_RETURN OP_PUSHDATA4
  const output = Buffer.concat([Buffer.alloc(8), Buffer.of(0xfe), uint32(script.length), script])
  return Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 1), output, Buffer.alloc(4)]).toString('hex')
}
const DATA_BYTES = 4_900_000

function uint32(n: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(n)
  return bytes
}

const hashOf = (hex: string) => scanTransaction(Buffer.from(hex, 'hex')).txid
const values = (out: string) =>
  out
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

describe('overpool post, tail and get', () => {
  it('work beside a running machine: a post is handled at once, and can be found', async () => {
    await using project = Project.of({ mypool: {}, other: {} }, PRINTING)
    const machine = await project.start()
    const hex = sampleTransaction('by hex')
    const byHex = await project.result('post', 'mypool', hex, '--memo', 'a coffee')
    expect(byHex).toEqual({ code: 0, err: '', out: `${hashOf(hex)} posted to mypool\n` })
    await machine.says(/got mypool#0 a coffee/)

    const file = sampleTransaction('by file')
    project.write('transaction.hex', `${file}\n`)
    expect((await project.result('post', 'mypool', 'transaction.hex')).out).toContain(hashOf(file))
    const piped = sampleTransaction('by pipe')
    const reading = project.overpool(['post', 'mypool', '-'], { input: `  ${piped}\n` })
    expect([await reading.ended(), reading.out]).toEqual([0, `${hashOf(piped)} posted to mypool\n`])
    await machine.says(/got mypool#2/)

    const tail = await project.result('tail', 'mypool', '-n', '2')
    expect(tail.out).toMatch(new RegExp(`^#1 {2}\\S+Z {2}${hashOf(file)} {2}api\n#2 {2}\\S+Z {2}${hashOf(piped)} {2}api\n$`))
    const got = await project.result('get', 'mypool', hashOf(hex).toUpperCase())
    expect(JSON.parse(got.out)).toMatchObject({
      path: 'mypool',
      seq: 0,
      hash: hashOf(hex),
      payment: { transaction: hex, memo: 'a coffee' },
      parsed: { tx: { h: hashOf(hex) } },
    })
    expect(await project.result('tail', 'other')).toEqual({ code: 0, err: '', out: 'no entries in other\n' })
  })

  it('show with tail --kinds entries of other kinds, in words, or as JSON with bytes in hex', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    const file = openLedgerFile(join(project.dir, '.overpool'))
    const at = Date.UTC(2026, 0, 1)
    const txid = 'ab'.repeat(32)
    const common = { at, source: 'chain', hops: 0 }
    const entries: Entry[] = [
      { kind: 'status', ...common, id: idOfStatus(txid, 'refused', ''), of: { txid }, status: 'refused', reason: 'no fee' },
      { kind: 'block', ...common, id: idOfChainBlock(txid, '0'), height: 7, hash: txid, header: new Uint8Array(80), count: 1 },
      { kind: 'unknown', ...common, id: idOfChainBlock('cd'.repeat(32), '0'), named: 'vote', fields: {} },
    ]
    for (const entry of entries) {
      const { id, kind } = entry
      const body = encodeIngress({
        pool: 'mypool',
        id,
        kind: kind === 'unknown' ? entry.named : kind,
        named: true,
        entry: encodeEntry(entry),
      })
      await file.ingress.send([{ body, group: 'mypool' }])
    }
    await until(
      () => file.stores.blocks.last('mypool'),
      (last) => last !== undefined && last.first + last.count === 3,
    )
    file.close()
    expect((await project.result('tail', 'mypool')).out).toBe('no entries in mypool\n')
    expect((await project.result('tail', 'mypool', '--kinds', 'all')).out).toBe(
      [
        `#0  2026-01-01T00:00:00.000Z  status  ${txid}  refused: no fee`,
        `#1  2026-01-01T00:00:00.000Z  block  7  ${txid}  1 transaction of this pool`,
        '#2  2026-01-01T00:00:00.000Z  vote  of a kind that this version does not know\n',
      ].join('\n'),
    )
    expect(values((await project.result('tail', 'mypool', '--kinds', 'block', '--json')).out)).toMatchObject([
      { kind: 'block', header: '00'.repeat(80) },
    ])
    expect(await project.result('tail', 'mypool', '--kinds', 'votes')).toMatchObject({ code: 2 })
    expect(await machine.stop()).toBe(0)
  })

  it('work without a machine: a post waits in the folder until a machine starts and handles it', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    expect(await (await project.start()).stop()).toBe(0)
    expect((await project.result('post', 'mypool', '--sample')).out).toMatch(
      /^[0-9a-f]{64} posted to mypool; it enters the ledger when the machine is started\n$/,
    )
    expect((await project.result('pools')).out).toMatch(
      /^mypool {2}0 entries {2}[0-9a-f]{64}\n1 post waits for the machine to be started\n$/,
    )
    const machine = await project.start()
    await machine.says(/got mypool#0/)
    expect(await machine.stop()).toBe(0)
    expect((await project.result('tail', 'mypool')).out).toMatch(/^#0 /)
  })

  it('ask the filter of the config with --filter, and only then', async () => {
    await using project = Project.of({ mypool: {}, other: {} }, PRINTING)
    const filter = `(payment) => { if (!payment.memo) throw new Error('say in the memo what you pay for') }`
    project.write('overpool.config.ts', `export default { handler: './handler.ts', pools: { mypool: { filter: ${filter} } } }`)
    const machine = await project.start()
    expect(await project.result('post', 'mypool', '--sample', '--filter')).toEqual({
      code: 1,
      err: 'overpool: say in the memo what you pay for\n',
      out: '',
    })
    expect(await project.result('post', 'mypool', '--sample', '--filter', '--memo', 'a coffee')).toMatchObject({ code: 0, err: '' })
    expect(await project.result('post', 'mypool', '--sample')).toMatchObject({ code: 0, err: '' })
    await machine.says(/got mypool#1/)
    expect(await project.result('post', 'other', '--sample', '--filter')).toMatchObject({
      code: 2,
      err: 'overpool: overpool.config.ts names no pool "other", so there is no filter to ask\n',
    })
    expect(await machine.stop()).toBe(0)
  })

  it('write one entry for all posts with the same id, and a new entry for each post without an id', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    const hex = sampleTransaction('same')
    for (const id of ['order 7', 'order 7', 'order 8']) await project.result('post', 'mypool', hex, '--id', id)
    for (let i = 0; i < 2; i++) await project.result('post', 'mypool', hex, '--merchant-data', '{"order":7}', '--refund-to', 'a@b.c')
    await machine.says(/got mypool#3/)
    await machine.stop()
    const events = values((await project.result('tail', 'mypool', '--json')).out)
    expect(events.map(({ payment }) => payment.merchantData)).toEqual([undefined, undefined, '{"order":7}', '{"order":7}'])
    expect(events[2].payment).toEqual({ transaction: hex, merchantData: '{"order":7}', refundTo: 'a@b.c' })
  })

  it('post texts as the data of a transaction, and nothing else beside them', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    await project.result('post', 'mypool', '--data', 'app', 'move', 'e2e4')
    await machine.says(/got mypool#0/)
    await machine.stop()
    const [event] = values((await project.result('tail', 'mypool', '--json')).out)
    expect(event.payment.transaction).toBe(dataTransaction('app', 'move', 'e2e4'))
    const twice = await project.result('post', 'mypool', '--sample', '--data', 'a')
    expect([twice.code, twice.err]).toEqual([2, expect.stringContaining('say one thing to post')])
  })

  it('show large entries one after the other with tail, in a heap that does not hold all of them', async () => {
    await using project = Project.of({ mypool: {} }, `export const onTx = (e) => console.log('got', e.seq)`)
    const machine = await project.start()
    for (let i = 0; i < LARGE; i++) expect(await pay(`${machine.url}/mypool`, largeTransaction(i))).toBe(200)
    await machine.says(new RegExp(`got ${LARGE - 1}`))
    const tail = project.run(process.execPath, [
      '--max-old-space-size=256',
      join(REPOSITORY, 'cli/main.ts'),
      '--json',
      'tail',
      'mypool',
      '-n',
      String(LARGE - 1),
    ])
    expect([await tail.ended(), tail.err]).toEqual([0, ''])
    const seqs = tail.out
      .trimEnd()
      .split('\n')
      .map((line) => Number(/"seq":(\d+)/.exec(line)![1]))
    expect(seqs).toEqual(Array.from({ length: LARGE - 1 }, (_, i) => i + 1))
    expect(await machine.stop()).toBe(0)
  })

  it('print new entries with tail -f, also after a restart of the machine, until they are interrupted', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const first = await project.start()
    await pay(`${first.url}/mypool`, sampleTransaction('a'), 'before')
    await first.says(/got mypool#0/)
    const tail = project.overpool(['tail', 'mypool', '-f'])
    await tail.says(/#0 .+ {2}http {2}"before"/)
    await pay(`${first.url}/mypool`, sampleTransaction('b'), 'a line\nbreak \u001b[31m')
    await tail.says(/#1 .+ {2}http {2}"a line\\nbreak \\u001b\[31m"/)
    await first.stop()
    const second = await project.start()
    await pay(`${second.url}/mypool`, sampleTransaction('c'), 'after')
    await tail.says(/#2 .+"after"/)
    expect(await tail.stop()).toBe(0)
    expect(tail.out.match(/^#/gm)).toHaveLength(3)
    expect(tail.err).toBe('')
  })

  it('end tail -f without an error when nobody reads its output any more', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await machine.says(/got mypool#0/)
    const tail = project.overpool(['tail', 'mypool', '-f'])
    await tail.says(/#0/)
    tail.child.stdout!.destroy()
    await pay(`${machine.url}/mypool`, sampleTransaction('b'))
    expect(await tail.ended()).toBe(0)
    expect(tail.err).toBe('')
  })
})

describe('overpool prune', () => {
  it('archives the entries of a pool, beside a running machine and without one', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    await project.result('post', 'mypool', '--sample')
    const [, seq] = await machine.says(/got mypool#(\d)/)
    expect(seq).toBe('0')
    expect(await project.result('prune', 'mypool')).toEqual({
      code: 0,
      err: '',
      out: '1 entry is archived in mypool; `overpool get` finds what is archived\n',
    })
    await project.result('post', 'mypool', '--sample')
    await machine.says(/got mypool#1/)
    await machine.stop()
    expect(values((await project.result('tail', 'mypool', '--json')).out)).toMatchObject([{ seq: 1 }])
    expect(values((await project.result('prune', 'mypool', '--json')).out)).toEqual([{ pool: 'mypool', prunedBefore: 2 }])
    expect((await project.result('tail', 'mypool')).out).toBe('no entries in mypool\n')
    expect(await project.result('prune', 'nopool')).toMatchObject({ code: 1, err: expect.stringContaining('no pool named "nopool"') })
  })
})

describe('overpool pools and redrive', () => {
  it('show dead letters with their errors, and let the handler retry them, beside the machine', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 } }, STUMBLING)
    const machine = await project.start()
    for (const memo of ['good', 'bad', 'also good']) await pay(`${machine.url}/mypool`, sampleTransaction(memo), memo)
    await machine.says(/got mypool#2/)
    const list = await project.result('pools')
    expect(list.out).toMatch(
      /^mypool {2}3 entries {2}[0-9a-f]{64}\n {2}handler handler: up to date\n {4}gave up #1 after 1 attempt: Error: no such table: orders\n$/,
    )
    expect(values((await project.result('pools', '--json')).out)).toMatchObject([
      { path: 'mypool', entries: 3, handlers: [{ handler: 'handler', done: 3, waiting: 0, dead: [{ seq: 1, attempts: 1 }] }] },
    ])

    expect((await project.result('redrive', 'mypool')).out).toBe('handler tries again 1 entry that it gave up\n')
    await machine.says(/(gave up mypool #1[\s\S]+){2}/) // the handler fails again
    project.write('mended', '')
    expect((await project.result('redrive', 'mypool', '--handler', 'handler', '--json')).code).toBe(0)
    await machine.says(/got mypool#1/)
    await machine.stop()
    expect((await project.result('pools')).out).not.toContain('gave up')
    expect((await project.result('redrive', 'mypool')).out).toBe('handler: there is nothing to do in mypool\n')
  })

  it('forget what a handler gave up with --drop: it is not tried again, and the entries stay', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 } }, STUMBLING)
    const machine = await project.start()
    for (const [i, memo] of ['bad', 'good', 'bad'].entries()) await pay(`${machine.url}/mypool`, sampleTransaction(`${i}`), memo)
    await machine.says(/gave up mypool #2/)
    expect(await project.result('redrive', 'mypool', '--skip', '--drop')).toMatchObject({ code: 2 })
    expect(await project.result('redrive', 'mypool', '--drop')).toEqual({
      code: 0,
      err: '',
      out: 'handler: 2 entries that it gave up will not be tried again\n',
    })
    expect((await project.result('pools')).out).not.toContain('gave up')
    expect((await project.result('redrive', 'mypool')).out).toBe('handler: there is nothing to do in mypool\n')
    expect((await project.result('tail', 'mypool')).out.match(/^#/gm)).toHaveLength(3)
    expect(await machine.stop()).toBe(0)
  })

  it('let a stopped handler go on, or skip the entry, without a machine', async () => {
    await using project = Project.of({ strict: { maxAttempts: 1, onPoison: 'stop' } }, STUMBLING)
    const first = await project.start()
    for (const memo of ['bad', 'good', 'bad']) await pay(`${first.url}/strict`, sampleTransaction(memo), memo === 'bad' ? memo : undefined)
    await first.says(/handler stopped at strict #0; mend the handler, then run `overpool redrive strict`/)
    await first.stop()
    const stopped = (await project.result('pools')).out
    expect(stopped).toMatch(/handler handler: \d entr(y|ies) behind\n {4}stopped at #0: Error: no such table: orders\n/)
    expect((await project.result('redrive', 'strict', '--skip')).out).toBe(
      'handler passes over #0 and goes on, when the machine is started\n',
    )
    const second = await project.start()
    await second.says(/got strict#1/)
    expect(second.out).not.toContain('got strict#0')
    expect(await second.stop()).toBe(0)
  })

  it('say when there is nothing to redrive', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    await (await project.start()).stop()
    expect(await project.result('redrive', 'mypool')).toEqual({ code: 0, err: '', out: 'no handler has worked on mypool yet\n' })
    expect(await project.result('redrive', 'mypool', '--handler', 'x')).toMatchObject({
      code: 1,
      err: 'overpool: no handler "x" has worked on "mypool"; there are: none\n',
    })
  })
})

describe('overpool verify', () => {
  it('finds no problem in a good ledger, beside the machine and without it', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    for (const text of ['a', 'b', 'c']) await pay(`${machine.url}/mypool`, sampleTransaction(text))
    await machine.says(/got mypool#2/)
    expect(await project.result('verify', 'mypool')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^mypool: 3 entries in \d blocks?, \d+ bytes\n/),
    })
    await machine.stop()
    const { code, out } = await project.result('verify', 'mypool', '--json')
    const [verified] = values(out)
    expect([code, verified]).toEqual([
      0,
      expect.objectContaining({ entries: 3, receipts: 3, problems: 0, treeHash: expect.stringMatching(/^[0-9a-f]{64}$/) }),
    ])
    expect(verified.coreLength).toBe(verified.blocks)
    expect((await project.result('verify', 'mypool')).out).toMatch(/\nall of it agrees\n$/)
  })

  it('finds a changed block, names it, and exits with 1', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    for (const text of ['a', 'b']) {
      await pay(`${machine.url}/mypool`, sampleTransaction(text))
      await machine.says(new RegExp(`got mypool#${text === 'a' ? 0 : 1}`))
    }
    await machine.stop()
    const ledger = new DatabaseSync(folderLayout(join(project.dir, '.overpool')).ledger)
    ledger.exec(`UPDATE blocks SET bytes = (SELECT bytes FROM blocks WHERE n = 1), checksum = NULL WHERE n = 0`)
    ledger.close()
    const { code, out } = await project.result('verify', 'mypool')
    expect(code).toBe(1)
    expect(out).toMatch(/block 0 of the hypercore is not that of the mirror/)
    expect(out).toMatch(/\d problems found\n$/)
    expect(values((await project.result('verify', 'mypool', '--json')).out)[0].problems).toBeGreaterThan(0)
  })
})

describe('a command that fails:', () => {
  let project: Project
  beforeAll(async () => {
    project = Project.of({ mypool: {} }, PRINTING)
    await (await project.start()).stop()
  })
  afterAll(() => project[Symbol.asyncDispose]())

  it.each<[what: string, args: string[], sentence: RegExp]>([
    [
      'posting to a pool that does not exist',
      ['post', 'nopool', '--sample'],
      /^overpool: no pool named "nopool"; this machine has: mypool\n$/,
    ],
    ['the tail of a pool that does not exist', ['tail', 'nopool'], /^overpool: no pool named "nopool"; this machine has: mypool\n$/],
    ['verifying a pool that does not exist', ['verify', 'nopool'], /no pool named "nopool"/],
    ['redriving a pool that does not exist', ['redrive', 'nopool'], /no pool named "nopool"/],
    ['a transaction that nobody posted', ['get', 'mypool', '00'.repeat(32)], /^overpool: no transaction 0{64} in "mypool"\n$/],
    ['an invalid transaction', ['post', 'mypool', '01000000feffffffff'], /^overpool: bad transaction at byte 4/],
    [
      'a memo that is too long',
      ['post', 'mypool', '--sample', '--memo', 'm'.repeat(10_001)],
      /"memo" may have 10000 characters, not 10001/,
    ],
    [
      'a folder without a machine',
      ['tail', 'mypool', '--dir', 'nowhere'],
      /^overpool: there is no machine in \S+nowhere: start one with `overpool start`, or name its folder with --dir\n$/,
    ],
  ])('%s: exit code 1, and a sentence that says why', async (_, args, sentence) => {
    const { code, out, err } = await project.result(...args)
    expect(err).toMatch(sentence)
    expect([code, out]).toEqual([1, ''])
    const asJson = await project.result(...args, '--json')
    expect(asJson).toMatchObject({ code: 1, out: '' })
    expect(JSON.parse(asJson.err)).toEqual({ error: expect.stringMatching(/^[A-Z_]+$/), message: expect.any(String), retryable: false })
  })

  it.each<[what: string, args: string[], sentence: RegExp]>([
    ['no command', [], /^Usage: overpool \[options\] \[command\]/],
    ['an unknown command', ['nonsense'], /unknown command 'nonsense'\n\(overpool --help shows what there is/],
    ['no pool', ['tail'], /missing required argument 'pool'/],
    ['an invalid number', ['tail', 'mypool', '-n', 'many'], /'many' is invalid\. a whole number is wanted/],
    ['an unknown option', ['tail', 'mypool', '--nonsense'], /unknown option '--nonsense'/],
    [
      'nothing to post',
      ['post', 'mypool'],
      /say what to post: a transaction in hex, a file that holds it, - for standard input, --data with texts, or --sample/,
    ],
    [
      'a file that does not exist',
      ['post', 'mypool', 'no-such-file'],
      /"no-such-file" is no transaction in hex, and there is no file of this name/,
    ],
    ['a folder instead of a file', ['post', 'mypool', '.'], /^overpool: \. cannot be read: EISDIR/],
    ['an invalid txid', ['get', 'mypool', 'beef'], /hash is a txid of 64 hex characters/],
    [
      'starting a stack',
      ['start', '--stack', 'Overpool'],
      /^overpool: this command does not go with --stack: the machine of a stack is started by `npx cdk deploy`\n$/,
    ],
    [
      'a DHT node of a stack',
      ['dht', '--stack', 'Overpool'],
      /^overpool: this command does not go with --stack: it runs on this host, and belongs to no machine\n$/,
    ],
    [
      'a folder and a stack',
      ['pools', '--stack', 'Overpool', '--dir', '.'],
      /'--stack <name>' cannot be used with option '-d, --dir <folder>'/,
    ],
    ['a stack without a name', ['pools', '--stack', ''], /^overpool: --stack is the name of a stack, such as Overpool\n$/],
    ['a region without a stack', ['pools', '--region', 'eu-central-1'], /^overpool: --region is that of a stack: name it with --stack\n$/],
  ])('%s: exit code 2, and a sentence that says what is wrong', async (_, args, sentence) => {
    const { code, out, err } = await project.result(...args)
    expect(err).toMatch(sentence)
    expect([code, out]).toEqual([2, ''])
    const asJson = await project.result(...args, '--json')
    expect([asJson.code, asJson.out]).toEqual([2, ''])
    expect(JSON.parse(asJson.err)).toEqual({ error: 'BAD_ARGUMENT', message: expect.stringMatching(/^[^\n]+$/), retryable: false })
  })
})

describe('overpool --help', () => {
  it('names every command, and each command has its own help', async () => {
    await using project = Project.template()
    const { code, out } = await project.result('--help')
    expect(code).toBe(0)
    const commands = [...out.matchAll(/^ {2}([a-z]+)(?= [[<]| {2})/gm)].map(([, name]) => name!)
    expect(commands).toEqual(expect.arrayContaining(['start', 'post', 'tail', 'get', 'pools', 'verify', 'redrive']))
    for (const name of new Set(commands)) {
      if (name === 'help' || name === 'overpool') continue
      const help = await project.result(name, '--help')
      expect(help).toMatchObject({
        code: 0,
        err: '',
        out: expect.stringMatching(new RegExp(`^Usage: overpool ${name} [\\s\\S]+--dir <folder>[\\s\\S]+--json`)),
      })
    }
  })

  it('comes with --version, which prints the version of the package', async () => {
    await using project = Project.template()
    const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
    expect(await project.result('--version')).toEqual({ code: 0, err: '', out: `${version}\n` })
    const asNpxDoes = execFileSync(process.execPath, [join(REPOSITORY, 'package/overpool.cjs'), '--version'], { encoding: 'utf8' })
    expect(asNpxDoes, 'a clone needs no build').toBe(`${version}\n`)
  })
})
