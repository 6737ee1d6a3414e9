import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TxEvent } from '../../index.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import { scanTransaction, transactionFromHex } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { Project, pay } from './project.ts'

const PRINTING = `export const onTx = (e) => console.log('got ' + e.path + '#' + e.seq)\n`
const hashOf = (hex: string) => scanTransaction(Buffer.from(hex, 'hex')).txid
const linesOf = (text: string) => text.split('\n').slice(0, -1)
const eventsOf = (out: string): TxEvent[] => linesOf(out).map((line) => JSON.parse(line))

/** A stopped machine with these payments in its pool, and its entries. */
async function filled(...memos: string[]): Promise<{ project: Project; events: TxEvent[] }> {
  const project = Project.of({ mypool: {} }, PRINTING)
  const machine = await project.start()
  for (const [i, memo] of memos.entries()) {
    expect(await pay(`${machine.url}/mypool`, sampleTransaction(memo), memo)).toBe(200)
    await machine.says(new RegExp(`got mypool#${i}\n`))
  }
  await machine.stop()
  const { out } = await project.result('tail', 'mypool', '--json')
  return { project, events: eventsOf(out) }
}

describe('overpool export', () => {
  it('--tape is the tape.txt of the original, byte for byte, and --follow goes on with it', async () => {
    const { project, events } = await filled('a', 'b')
    await using _ = project
    const asTheOriginalDoes = ({ hash, at }: TxEvent) => `OVERPOOL ${hash} ${at}\n` // `_post` in its index.js
    const tape = events.map(asTheOriginalDoes).join('')
    expect(await project.result('export', 'mypool', '--tape')).toEqual({ code: 0, err: '', out: tape })

    const machine = await project.start()
    const following = project.overpool(['export', 'mypool', '--tape', '--follow'])
    await following.says(new RegExp(tape))
    const next = sampleTransaction('c')
    await pay(`${machine.url}/mypool`, next)
    await following.says(new RegExp(`^OVERPOOL ${hashOf(next)} \\d{13}\n$`, 'm'))
    expect(await following.stop()).toBe(0)
    expect(linesOf(following.out)).toHaveLength(3)
  })

  it('--jsonl has what makes an entry, without what follows from its transaction', async () => {
    const { project, events } = await filled('a', 'b')
    await using _ = project
    const { out } = await project.result('export', 'mypool')
    expect(eventsOf(out)).toEqual(events.map(({ parsed: _parsed, kind: _kind, status: _status, ...rest }) => rest))
    expect((await project.result('export', 'mypool', '--jsonl')).out).toBe(out)
    expect(await project.result('export', 'nopool')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no pool named "nopool"'),
      out: '',
    })
    expect(await project.result('export', 'mypool', '--csv', '--tape')).toMatchObject({ code: 2, out: '' })
  })

  it('--csv quotes the text of payers, and makes no formula and no control character of it', async () => {
    const { project, events } = await filled('plain', '=1+1', 'a "b", c', '\u001b[2J\nforged')
    await using _ = project
    const { out } = await project.result('export', 'mypool', '--csv')
    const memos = ['plain', "'=1+1", '"a ""b"", c"', ' [2J forged']
    const rows = events.map(({ seq, at, hash }, i) => `${seq},${new Date(at).toISOString()},${hash},http,0,0,${memos[i]}\n`)
    expect(out).toBe(`seq,at,hash,source,hops,satoshis,memo\n${rows.join('')}`)
  })
})

describe('overpool import', () => {
  it('adds the entries of an export once, with their ids and times; a wallet’s retry makes no second entry', async () => {
    const { project, events } = await filled('a', 'b')
    await using _ = project
    const { out: exported } = await project.result('export', 'mypool')
    await using other = Project.of({ mypool: {} }, PRINTING)
    const machine = await other.start()
    other.write('mypool.jsonl', exported)
    expect(await other.result('import', 'mypool', 'mypool.jsonl')).toEqual({ code: 0, err: '', out: '2 entries imported into mypool\n' })
    await machine.says(/got mypool#1/)
    const piped = other.overpool(['--json', 'import', 'mypool', '-'], { input: exported })
    expect([await piped.ended(), JSON.parse(piped.out)]).toEqual([0, { pool: 'mypool', imported: 0, there: 2, missing: [] }])
    expect(await pay(`${machine.url}/mypool`, events[0]!.payment.transaction, 'a')).toBe(200)
    await machine.stop()
    const same = ({ hash, id, at, source, hops, payment }: TxEvent) => ({ hash, id, at, source, hops, payment })
    expect(eventsOf((await other.result('tail', 'mypool', '--json')).out).map(same)).toEqual(events.map(same))
    expect((await other.result('verify', 'mypool')).out).toContain('all of it agrees')

    project.write('mypool.jsonl', exported)
    expect((await project.result('import', 'mypool', 'mypool.jsonl')).out).toBe(
      '0 entries imported into mypool, when the machine is started; 2 were there already\n',
    )
  })

  it('takes what was posted by the API, by name and by a handler, once as well', async () => {
    await using project = Project.of(
      { mypool: {} },
      `export const onTx = async (e, pool) => {
        if (!e.hops) await pool.post({ path: e.path, payment: '${sampleTransaction('step')}' })
        console.log('got ' + e.path + '#' + e.seq)
      }`,
    )
    const machine = await project.start()
    await project.result('post', 'mypool', '--sample')
    await project.result('post', 'mypool', '--sample', '--id', 'order 7')
    await machine.says(/got mypool#3/)
    const { out: exported } = await project.result('export', 'mypool')
    expect(eventsOf(exported).map(({ source }) => source)).toEqual(expect.arrayContaining(['api', 'api', 'handler', 'handler']))
    project.write('mypool.jsonl', exported)
    expect((await project.result('import', 'mypool', 'mypool.jsonl')).out).toMatch(/^0 entries .*; 4 were there already\n$/)
    await machine.stop()

    await using other = Project.of({ mypool: {} }, PRINTING)
    await (await other.start()).stop()
    other.write('mypool.jsonl', exported)
    for (const _ of [1, 2]) await other.result('import', 'mypool', 'mypool.jsonl') // twice, before the machine has seen the first
    const started = await other.start()
    await started.says(/got mypool#3/)
    expect((await other.result('import', 'mypool', 'mypool.jsonl')).out).toMatch(/; 4 were there already\n$/)
    await started.stop()
    expect((await other.result('export', 'mypool')).out.replaceAll(/"key":"[0-9a-f]{64}","seq":\d/g, '')).toBe(
      exported.replaceAll(/"key":"[0-9a-f]{64}","seq":\d/g, ''),
    )
  })

  it('adds an entry of the pool’s own newest block once, whose receipt is written only after the import has looked for it', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    await (await project.start()).stop()
    const { stores, close } = openLedgerFile(join(project.dir, '.overpool'))
    const { txid, bytes: tx } = transactionFromHex(sampleTransaction('a'))
    const id = 'ab'.repeat(32) as EntryId
    const entry = encodeEntry({ kind: 'tx', id, at: 1_700_000_000_000, tx, payment: {}, source: 'api', hops: 0 })
    await stores.blocks.put('mypool', encodeBlock(0, 0, [entry]))
    project.write('mypool.jsonl', (await project.result('export', 'mypool')).out)
    const imported = await project.result('import', 'mypool', 'mypool.jsonl')
    await stores.receipts.put('mypool', [{ key: txid, id, txid, seq: 0, block: 0 }]) // a post of the API without a name has no other
    await stores.control.update('mypool', { checkpoint: 1 })
    close()
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('b'))
    await machine.says(/got mypool#1/)
    await machine.stop()
    expect(eventsOf((await project.result('tail', 'mypool', '--json')).out).map(({ hash }) => hash)).toEqual(
      ['a', 'b'].map((text) => hashOf(sampleTransaction(text))),
    )
    expect(imported.out).toBe('0 entries imported into mypool, when the machine is started; 1 was there already\n')
  })

  it('adds a pool of the original Overpool, archived tapes first, and names payments whose files are missing', async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    const [a, b, c] = ['a', 'b', 'c'].map((text) => sampleTransaction(text)) as [string, string, string]
    mkdirSync(join(project.dir, 'overpool/mypool'), { recursive: true })
    const write = (name: string, text: string) => project.write(`overpool/mypool/${name}`, text)
    const payment = (transaction: string) => JSON.stringify({ merchantData: null, transaction, refundTo: null, memo: null })
    for (const hex of [a, b, c]) write(hashOf(hex), payment(hex))
    write('tape-1577836800000.txt', `OVERPOOL ${hashOf(a)} 1571000000000\nOVERPOOL ${hashOf(b)} 1571000000001\n`)
    write('tape.txt', `OVERPOOL ${hashOf(a)} 1577836800001\nOVERPOOL ${hashOf(c)} 1577836800002\n`)
    const folder = 'overpool/mypool'
    expect((await project.result('import', 'mypool', folder)).out).toBe('4 entries imported into mypool\n')
    await machine.says(/got mypool#3/)
    expect((await project.result('import', 'mypool', folder)).out).toBe('0 entries imported into mypool; 4 were there already\n')
    const tape = [a, b, a, c].map(
      (hex, i) => `OVERPOOL ${hashOf(hex)} ${[1571000000000, 1571000000001, 1577836800001, 1577836800002][i]}\n`,
    )
    expect((await project.result('export', 'mypool', '--tape')).out).toBe(tape.join(''))

    write('tape.txt', `OVERPOOL ${'ab'.repeat(32)} 1577836800003\n`)
    expect(await project.result('import', 'mypool', folder)).toMatchObject({
      code: 1,
      out: `0 entries imported into mypool; 2 were there already\ntape.txt, line 1: there is no file ${'ab'.repeat(32)}\n`,
    })
    write(hashOf(c), payment(b))
    write('tape.txt', `OVERPOOL ${hashOf(c)} 1577836800002\n`)
    expect((await project.result('import', 'mypool', folder)).err).toMatch(
      /^overpool: tape.txt, line 1: the file [0-9a-f]{64} holds another/,
    )
  })

  it.each([
    ['{"transaction":', 'line 2: this is no JSON'],
    ['5', 'line 2: this is no entry'],
    ['{"transaction":"00"}', 'line 2: '],
    [JSON.stringify({ payment: {}, id: 'x', at: 1, source: 'api' }), 'line 2: this is no entry as `overpool export --jsonl` writes it'],
  ])('names the line that it cannot take: %s', async (line, sentence) => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    await (await project.start()).stop()
    project.write('lines', `${JSON.stringify({ transaction: sampleTransaction('a') })}\n${line}\n`)
    const { code, err } = await project.result('import', 'mypool', 'lines')
    expect([code, err]).toEqual([2, expect.stringContaining(`overpool: ${sentence}`)])
    expect(err).toContain('Mend it and import again')
    expect((await project.result('import', 'mypool', 'nothing')).err).toMatch(/^overpool: nothing cannot be read: ENOENT/)
  })
})
