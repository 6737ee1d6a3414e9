import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dataTransaction } from '../../shared/transaction/index.ts'
import { address } from '../../shared/transaction/parsed.ts'
import type {
  BytesPage,
  DeadPage,
  EntriesPage,
  EntryRow,
  EntryShape,
  Found,
  FoundPage,
  InvoiceRow,
  NetworkPage,
  Overview,
  Said,
  Trail,
} from '../../studio/shapes.ts'
import { paying } from '../invoice/pay.ts'
import { until } from '../machine/machine.ts'
import { StudiedMachine } from './machine.ts'

// What the page gets of a machine. Behind it are a real machine and its real handler.

/** The key hash of a script, and its addresses on the main and on a test network. */
const KEY_HASH = '89abcdefabbaabbaabbaabbaabbaabbaabbaabba'
const [ADDRESS, TEST_ADDRESS] = [0x00, 0x6f].map((version) => address(version, Buffer.from(KEY_HASH, 'hex'))) as [string, string]

let machine: StudiedMachine
let paid: string
beforeAll(async () => {
  machine = await StudiedMachine.open()
  for (let i = 0; i < 1_200; i++) await machine.post(`plain ${i}`, `entry ${i}`)
  paid = paying([{ satoshis: 1_234, script: `76a914${KEY_HASH}88ac` }]).toString('hex')
  await machine.pools.post({
    path: 'coffee',
    payment: { transaction: paid, memo: 'Paid At The Counter', merchantData: { table: 7 }, refundTo: 'joe@example.com' },
  })
  await machine.post('order 12')
  await machine.post('fail, please')
  await until(
    async () => (await machine.ask<DeadPage>('dead')).total,
    (total) => total === 1,
  )
  await until(
    async () => (await machine.ask<Overview>('overview')).pools.map(({ entries }) => entries),
    (all) => all[0] === 1_204 && all[1] === 2,
  )
})
afterAll(() => machine?.[Symbol.asyncDispose]())

async function search(query: Record<string, string>): Promise<EntryRow[]> {
  const rows: EntryRow[] = []
  let before: number | undefined
  do {
    const page: FoundPage = await machine.ask(
      `search?${new URLSearchParams({ pool: 'coffee', ...query, ...(before !== undefined && { before: String(before) }) }).toString()}`,
    )
    rows.push(...page.rows)
    before = page.before
  } while (before !== undefined)
  return rows
}
const seqs = async (query: Record<string, string>) => (await search(query)).map(({ seq }) => seq)

describe('the studio of a machine', () => {
  it('says what there is, how far each handler is, and what needs attention', async () => {
    const { pools, problems, isRunning, doors, ingress } = await machine.ask<Overview>('overview')
    expect(pools[0]).toMatchObject({ path: 'coffee', kind: 'own', published: false, handlers: [{ handler: 'tx', waiting: 0, dead: 1 }] })
    expect(problems.join()).toContain('gave up an entry of coffee')
    expect({ isRunning, doors, ingress }).toEqual({ isRunning: true, doors: [machine.url], ingress: { waiting: 0, inFlight: 0 } })
  })

  it('says how far a handler lags, in entries and since when', async () => {
    await using own = await StudiedMachine.open()
    const goOn = own.hold()
    for (const memo of ['one', 'hold', 'two', 'three']) await own.post(memo)
    const handlerNow = async () => (await own.ask<Overview>('overview')).pools[0]!.handlers[0]
    const held = (await own.ask<EntriesPage>('entries?pool=coffee&from=1&to=2')).rows[0]!
    await until(handlerNow, (handler) => handler?.waiting === 3 && handler.since === held.at)
    goOn()
    const done = await until(handlerNow, (handler) => handler?.waiting === 0)
    expect(done!.since).toBeUndefined()
  })

  it('lists entries by their numbers, at most 200 at a time', async () => {
    const { rows, end, begin } = await machine.ask<EntriesPage>('entries?pool=coffee&from=100&to=1000')
    expect([rows.length, rows[0]!.seq, rows.at(-1)!.seq, end, begin]).toEqual([200, 100, 299, 1_204, 0])
    expect(rows[0]).toMatchObject({
      kind: 'tx',
      source: 'api',
      memo: 'plain 100',
      data: 'entry 100',
      satoshis: 0,
      status: 'local',
      hops: 0,
    })
  })

  it.each([
    ['a word of a memo, in letters of any size', 'at the COUNTER', [1_200]],
    ['what a data output carries', 'entry 77', [779, 778, 777, 776, 775, 774, 773, 772, 771, 770, 77]],
    ['what a wallet has sent along', 'joe@example', [1_200]],
    ['its merchantData', '"table":7', [1_200]],
    ['an address that is paid', ADDRESS, [1_200]],
    ['the same on a test network', TEST_ADDRESS, [1_200]],
    ['a part of the transaction in hex', KEY_HASH.slice(4, 20), [1_200]],
    ['nothing that is there', 'no such thing', []],
    ['an address that nobody pays', '1BoatSLRHtKNngkdXEeobR76b53LETtpyT', []],
  ])('finds entries by %s', async (_, q, expected) => {
    expect(await seqs({ q })).toEqual(expected)
  })

  it('finds by a part of a txid, by its kind, and only what came since', async () => {
    const { txid } = (await machine.ask<EntriesPage>('entries?pool=coffee&from=5&to=6')).rows[0]!
    expect(await seqs({ q: txid!.slice(10, 30) })).toEqual([5])
    expect(await seqs({ kinds: 'status,block' })).toEqual([])
    expect(await seqs({ kinds: 'tx', since: '1202' })).toEqual([1_203, 1_202])
    expect((await machine.ask<{ found: Found[] }>(`find?q=${txid}`)).found).toEqual([{ path: 'coffee', seq: 5 }])
    expect((await machine.ask<{ found: Found[] }>(`find?q=${'00'.repeat(32)}`)).found).toEqual([])
  })

  it('finds an entry by its id', async () => {
    const { found } = await machine.ask<{ found: Found[] }>(`find?q=${(await machine.ask<EntryShape>('entry?pool=kitchen&seq=0')).id}`)
    expect(found).toEqual([{ path: 'kitchen', seq: 0 }])
  })

  it('shows all of an entry: payment, outputs, scripts, bytes', async () => {
    const entry = await machine.ask<EntryShape>('entry?pool=coffee&seq=1200')
    expect(entry).toMatchObject({
      memo: 'Paid At The Counter',
      payment: { merchantData: '{\n  "table": 7\n}', refundTo: 'joe@example.com' },
      inputCount: 1,
      outputCount: 1,
    })
    expect(entry.outputs).toEqual([
      {
        satoshis: 1_234,
        address: ADDRESS,
        bytes: 25,
        script: [
          { op: 'OP_DUP' },
          { op: 'OP_HASH160' },
          expect.objectContaining({ hex: KEY_HASH, bytes: 20 }),
          { op: 'OP_EQUALVERIFY' },
          { op: 'OP_CHECKSIG' },
        ],
      },
    ])
    const { hex, size } = await machine.ask<BytesPage>('bytes?pool=coffee&seq=1200')
    expect([hex, size]).toEqual([paid, paid.length / 2])
    const data = await machine.ask<EntryShape>('entry?pool=coffee&seq=3')
    expect(data.outputs![0]!.script).toEqual([
      { op: 'OP_0' },
      { op: 'OP_RETURN' },
      { hex: Buffer.from('entry 3').toString('hex'), bytes: 7, text: 'entry 3' },
    ])
  })

  it('shows a large transaction in parts', async () => {
    await using own = await StudiedMachine.open()
    const transaction = dataTransaction(Buffer.alloc(1_000_000, 'ab'), Buffer.alloc(400_000))
    await own.pools.post({ path: 'coffee', payment: { transaction } })
    const entry = await own.ask<EntryShape>('entry?pool=coffee&seq=0')
    expect(JSON.stringify(entry).length).toBeLessThan(100_000)
    expect(entry.bytes).toBe(transaction.length / 2)
    const { hex, size } = await own.ask<BytesPage>('bytes?pool=coffee&seq=0&from=8192')
    expect([hex, size]).toEqual([transaction.slice(2 * 8_192, 2 * 12_288), transaction.length / 2])
    expect(JSON.stringify(await own.ask('entries?pool=coffee&from=0&to=9')).length).toBeLessThan(2_000)
  })

  it('shows what an entry was posted for and what came of it, from any of them', async () => {
    const names = ({ nodes }: Trail) => nodes.map(({ path, seq, parent }) => [path, seq, parent])
    const whole = [
      ['coffee', 1_201, undefined],
      ['kitchen', 0, 0],
      ['kitchen', 1, 0],
      ['coffee', 1_203, 1],
    ]
    const first = await machine.ask<Trail>('trail?pool=coffee&seq=1201')
    expect(first).toMatchObject({ root: 0, isCauseElsewhere: false, isCut: false })
    expect(
      names(first)
        .map((name) => JSON.stringify(name))
        .sort(),
    ).toEqual(whole.map((name) => JSON.stringify(name)).sort())
    const last = await machine.ask<Trail>('trail?pool=coffee&seq=1203')
    expect([names(last), last.root]).toEqual([
      [
        ['coffee', 1_201, undefined],
        ['kitchen', 0, 0],
        ['coffee', 1_203, 1],
      ],
      2,
    ])
  })

  it('lists what was given up with its error, has it tried again, and forgets it', async () => {
    const { rows } = await machine.ask<DeadPage>('dead')
    expect(rows).toEqual([
      { path: 'coffee', handler: 'tx', seq: 1_202, error: expect.stringContaining('taken over'), attempts: 1, at: expect.any(Number) },
    ])
    machine.mend()
    expect(await machine.ask<Said>('redrive', { pool: 'coffee', handler: 'tx' })).toEqual({ says: 'tx tries 1 entry again' })
    await until(
      async () => (await machine.ask<DeadPage>('dead')).total,
      (total) => total === 0,
    )
    expect(await machine.ask<Said>('redrive', { pool: 'coffee' })).toEqual({ says: 'there was nothing to do' })
  })

  it('forgets what was given up', async () => {
    await using own = await StudiedMachine.open()
    await own.post('fail')
    await until(
      async () => (await own.ask<DeadPage>('dead')).total,
      (total) => total === 1,
    )
    expect(await own.ask<Said>('redrive', { pool: 'coffee', handler: 'tx', drop: true })).toEqual({ says: 'tx forgets 1 entry' })
    expect(await own.ask<DeadPage>('dead')).toEqual({ rows: [], total: 0, stopped: [] })
  })

  it('posts a sample, a text and a transaction', async () => {
    await using own = await StudiedMachine.open()
    const transaction = dataTransaction('mine')
    for (const what of [{ sample: true }, { data: 'a text' }, { transaction: ` ${transaction.slice(0, 20)}\n${transaction.slice(20)}\n` }])
      expect(await own.ask<Said>('post', { pool: 'coffee', memo: 'from the studio', ...what })).toMatchObject({ says: 'posted to coffee' })
    const { rows } = await own.ask<EntriesPage>('entries?pool=coffee&from=0&to=9')
    expect(rows.map(({ data, memo }) => [data, memo])).toEqual([
      [expect.stringContaining('a sample of the studio'), 'from the studio'],
      ['a text', 'from the studio'],
      ['mine', 'from the studio'],
    ])
  })

  it('makes invoices, lists and cancels them', async () => {
    const { id, url } = await machine.ask<InvoiceRow>('invoices', { pool: 'coffee', amount: 8_400, memo: 'a flat white', minutes: 15 })
    expect((await fetch(url, { headers: { accept: 'text/html' } })).status).toBe(200)
    const listed = await machine.ask<{ invoices: InvoiceRow[] }>('invoices?pool=coffee')
    expect(listed.invoices).toEqual([expect.objectContaining({ id, state: 'open', due: 8_400, memo: 'a flat white' })])
    expect(await machine.ask<InvoiceRow>('invoices/cancel', { pool: 'coffee', id })).toMatchObject({ state: 'cancelled' })
  })

  it('says who the machine is, and that nobody broadcasts for it', async () => {
    expect(await machine.ask<NetworkPage>('network')).toEqual({
      ids: [await machine.pools.id()],
      broadcasts: false,
      open: [],
      problems: [],
    })
  })
})
