import { DatabaseSync } from 'node:sqlite'
import { encode } from 'cborg'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunnerReport } from '../functions/handler/report.ts'
import { answerBell } from '../functions/handler/runner.ts'
import type { LedgerEvent } from '../index.ts'
import { folderLayout } from '../local/folder.ts'
import { openLedgerFile } from '../local/ports.ts'
import { systemClock } from '../shared/clock.ts'
import { decodeBlock, encodeBlock, entryAt } from '../shared/ledger/block.ts'
import { decodeEntry, encodeEntry } from '../shared/ledger/entry-codec.ts'
import { idOfChainBlock, idOfChainEntry, idOfReorg, idOfStatus } from '../shared/ledger/ids.ts'
import type { Entry, EntryId } from '../shared/ledger/kinds.ts'
import { encodeIngress } from '../shared/ledger/messages.ts'
import { hex } from '../shared/ledger/values.ts'
import { checkExports, handlerFunctions } from '../shared/machine/handlers.ts'
import { oneAfterTheOther } from '../shared/retry.ts'
import type { Receipt } from '../shared/store/receipts.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { checkPeerBlock } from '../sidecar/peers/peer-block.ts'
import { SIDES, type Side } from './contract/sides.ts'
import { postOf, tempLedger } from './faults/ledger.ts'
import { until } from './machine/machine.ts'
import { Peers } from './swarm/peers.ts'
import { newKeyPair, RawPeer } from './swarm/raw-peer.ts'

const TX = Buffer.from(sampleTransaction('kinds'), 'hex')
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const hashes = bytes(32).map(hex)
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).map((value) => value.replace(/^\ufeff+/, ''))
const names = fc.stringMatching(/^[a-z-]{1,20}$/)
const places = fc.record({ height: fc.nat(), hash: hashes })
const abouts = fc.record({ txid: hashes, seq: fc.nat() }, { requiredKeys: ['txid'] })
const common = {
  id: hashes as fc.Arbitrary<EntryId>,
  at: fc.nat(),
  source: names,
  hops: fc.nat(),
}

/** Entries of each kind but `tx`, and of kinds that this program does not know. */
const others: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({
    kind: fc.constant('commit' as const),
    ...common,
    of: fc.array(fc.oneof(abouts, fc.constant({ tx: new Uint8Array(TX) })), { minLength: 1 }),
  }),
  fc.record(
    {
      kind: fc.constant('status' as const),
      ...common,
      of: abouts,
      status: names,
      height: fc.nat(),
      blockHash: hashes,
      proof: fc.uint8Array(),
      reason: text,
      by: text,
    },
    { requiredKeys: ['kind', 'id', 'at', 'source', 'hops', 'of', 'status'] },
  ),
  fc.record({ kind: fc.constant('block' as const), ...common, height: fc.nat(), hash: hashes, header: bytes(80), count: fc.nat() }),
  fc.record({ kind: fc.constant('reorg' as const), ...common, from: places, to: places, undone: fc.array(hashes) }),
  fc.record({
    kind: fc.constant('unknown' as const),
    ...common,
    named: names.map((name) => `later-${name}`),
    fields: fc.dictionary(fc.stringMatching(/^f[a-z]{0,8}$/), fc.oneof(fc.nat(), text, fc.uint8Array()), { noNullPrototype: true }),
  }),
)

const id = (n: number) => n.toString(16).padStart(64, '0') as EntryId
const status = (n: number): Entry => ({
  kind: 'status',
  id: id(n),
  at: 5,
  source: 'broadcaster',
  hops: 0,
  of: { txid: 'ab'.repeat(32), seq: 0 },
  status: 'seen',
})
const later = (n: number): Entry => ({ kind: 'unknown', id: id(n), at: 5, source: 'later', hops: 0, named: 'vote', fields: { for: 'tea' } })
const chainBlock = (n: number): Entry => ({
  kind: 'block',
  id: id(n),
  at: 5,
  source: 'chain',
  hops: 0,
  height: 7,
  hash: 'cd'.repeat(32),
  header: new Uint8Array(80),
  count: 1,
})

describe('an entry of a kind', () => {
  it('is decoded to what was encoded, alone and from a block', () => {
    fc.assert(
      fc.property(fc.array(others, { minLength: 1, maxLength: 5 }), (entries) => {
        for (const entry of entries) expect(decodeEntry(encodeEntry(entry))).toEqual(entry)
        const block = encodeBlock(0, 0, entries.map(encodeEntry))
        expect(decodeBlock(block.bytes).entries).toEqual(entries)
        for (const i of entries.keys()) expect(entryAt(block, i)).toEqual(entries[i])
      }),
    )
  })

  it('is refused when it is cut off anywhere, and with anything appended', () => {
    for (const entry of [status(1), later(2), chainBlock(3)]) {
      const whole = encodeEntry(entry)
      for (let length = 0; length < whole.length; length++)
        expect(() => decodeEntry(whole.subarray(0, length)), `${entry.kind} ${length}`).toThrow(
          expect.objectContaining({ code: 'BAD_BLOCK' }),
        )
      expect(() => decodeEntry(Buffer.concat([whole, Uint8Array.of(0)]))).toThrow(expect.objectContaining({ code: 'BAD_BLOCK' }))
    }
  })

  it('of the kind tx has the bytes that it had before there were kinds', () => {
    const before = encode({ id: Buffer.from(id(9), 'hex'), at: 9, tx: TX, payment: { memo: 'tea' }, source: 'http' })
    const entry = decodeEntry(before)
    expect(entry).toMatchObject({ kind: 'tx', payment: { memo: 'tea' } })
    expect(hex(encodeEntry(entry))).toBe(hex(before))
  })

  it.each([
    ['a status without its transaction', { kind: 'status', status: 'seen' }],
    ['a commit of nothing', { kind: 'commit', of: [] }],
    ['a block whose header is too short', { kind: 'block', height: 1, hash: new Uint8Array(32), header: new Uint8Array(79), count: 0 }],
    [
      'a reorganisation with a hash that is too short',
      { kind: 'reorg', from: { height: 1, hash: new Uint8Array(31) }, to: {}, undone: [] },
    ],
  ])('is refused: %s', (_, fields) => {
    const bytes = encode({ id: new Uint8Array(32), at: 1, source: 'chain', ...fields })
    expect(() => decodeEntry(bytes)).toThrow(expect.objectContaining({ code: 'BAD_BLOCK' }))
  })

  it('has an id that an entry of another kind cannot have', () => {
    const [a, b] = ['ab'.repeat(32), 'cd'.repeat(32)]
    const ids = [
      idOfChainEntry(a, b),
      idOfStatus(a, 'seen', b),
      idOfStatus(a, 'seen', ''),
      idOfChainBlock(a, '0'),
      idOfChainBlock(a, '1'),
      idOfReorg(a, b, '0'),
      idOfReorg(a, b, '1'),
      idOfReorg(b, a, '0'),
    ]
    expect(new Set(ids).size).toBe(ids.length)
  })
})

describe('a peer’s block', () => {
  it('with entries of other kinds, known or unknown, is accepted as a whole', () => {
    const { bytes } = encodeBlock(0, 0, [encodeEntry(later(1)), postOf('a').entry, encodeEntry(status(2))])
    const { problem, block, entries } = checkPeerBlock(0, bytes, 0, false)
    expect([problem, block.count, entries.map(({ txid }) => txid)]).toEqual([undefined, 3, [undefined, postOf('a').txid, undefined]])
  })

  it('is passed over when the transaction of a commit is malformed', () => {
    const commit: Entry = { kind: 'commit', id: id(1), at: 1, source: 'api', hops: 0, of: [{ tx: Uint8Array.of(1, 2, 3) }] }
    expect(checkPeerBlock(0, encodeBlock(0, 0, [encodeEntry(commit)]).bytes, 0, false)).toMatchObject({
      block: { count: 0 },
      problem: expect.any(String),
    })
  })
})

describe('the runner', () => {
  const OPTIONS = {
    handler: 'main',
    clock: systemClock,
    maxAttempts: 1,
    retryForMs: 0,
    alone: oneAfterTheOther(),
    onPoison: 'skip',
    timeoutMs: 10_000,
    retryMs: 1,
    retryMostMs: 1,
  } as const
  const run = async (functions: Parameters<typeof answerBell>[4]['functions'], entries: Uint8Array[], carried: boolean) => {
    await using ledger = await tempLedger()
    const block = encodeBlock(0, 0, entries)
    await ledger.stores.blocks.put('a', block)
    const reports: RunnerReport[] = []
    const answer = await answerBell({ pool: 'a', n: 0, ...(carried && { block }) }, { key: ledger.key }, 1, Date.now() + 60_000, {
      ...OPTIONS,
      stores: ledger.stores,
      report: (report) => reports.push(report),
      functions,
    })
    return { answer, reports, cursor: await ledger.stores.progress.readCursor('main', 'a') }
  }
  const entries = [
    encodeEntry(later(1)),
    postOf('a').entry,
    encodeEntry(status(2)),
    encodeEntry(chainBlock(3)),
    postOf('b').entry,
    encodeEntry(later(4)),
  ]

  it.each([true, false])(
    'passes over unknown kinds, and over kinds for which the handler has no function (block in the bell: %s)',
    async (carried) => {
      const seen: number[] = []
      const { answer, reports, cursor } = await run({ tx: ({ seq }) => seen.push(seq) }, entries, carried)
      expect([answer, seen]).toEqual([{ done: true }, [1, 4]])
      expect(reports).toMatchObject([
        { kind: 'unknown-kind', seq: 0, named: 'vote' },
        { kind: 'unknown-kind', seq: 5, named: 'vote' },
      ])
      expect(cursor).toMatchObject({ seq: 5, block: 1, attempts: 0 })
    },
  )

  it('calls the function of each kind, in the order of the ledger', async () => {
    const seen: string[] = []
    const note = ({ kind, seq }: LedgerEvent) => seen.push(`${kind} ${seq}`)
    await run({ tx: note, status: note, block: note, reorg: note }, entries, true)
    expect(seen).toEqual(['tx 1', 'status 2', 'block 3', 'tx 4'])
  })

  it('gives up on an entry of another kind as on a transaction', async () => {
    const fails = () => {
      throw new Error('no')
    }
    const { reports, cursor } = await run({ status: fails }, entries, true)
    expect(reports.filter(({ kind }) => kind === 'given-up')).toMatchObject([{ seq: 2 }])
    expect(cursor).toMatchObject({ seq: 5 })
  })

  it('retries dead letters at a redrive, and keeps unchanged those that the handler cannot run', async () => {
    await using ledger = await tempLedger()
    const { blocks, progress } = ledger.stores
    await blocks.put('a', encodeBlock(0, 0, entries))
    const letters = [0, 1, 2].map((seq) => ({ seq, block: 0, error: 'no', attempts: 1, at: 1 }))
    for (const letter of letters) await progress.putDead('main', 'a', letter)
    await progress.writeCursor('main', 'a', { seq: 5, block: 1, attempts: 0 })
    await progress.askRedrive('main', 'a', 2)
    const seen: number[] = []
    // The letters: one of an unknown kind, a transaction, and a status, for which this handler has no function. The bell comes for the second time.
    const answer = await answerBell({ pool: 'a', n: 0 }, { key: ledger.key }, 2, Date.now() + 60_000, {
      ...OPTIONS,
      stores: ledger.stores,
      report: () => {},
      functions: { tx: ({ seq }) => seen.push(seq) },
    })
    expect([answer, seen]).toEqual([{ done: true }, [1]])
    expect(await progress.listDead('main', 'a')).toEqual([letters[0], letters[2]])
    expect((await progress.readCursor('main', 'a')).redrive).toBeUndefined()
  })
})

describe('the exports of a handler file', () => {
  const code = (call: () => unknown) => expect(call).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }))

  it('give one function per kind; a default export means onTx', () => {
    const [onTx, onStatus] = [() => {}, () => {}]
    expect(handlerFunctions({ onTx, onStatus, helper: 1 }, 'h.ts')).toEqual({ tx: onTx, status: onStatus })
    expect(handlerFunctions({ default: onTx }, 'h.ts')).toEqual({ tx: onTx })
    expect(handlerFunctions({ onReorg: onTx }, 'h.ts')).toEqual({ reorg: onTx })
  })

  it('are refused when no function is among them, when one is not a function, and when one is misspelt', () => {
    code(() => handlerFunctions({}, 'h.ts'))
    code(() => handlerFunctions({ onTx: 5 }, 'h.ts'))
    expect(() => handlerFunctions({ ontx: () => {} }, 'h.ts')).toThrow('h.ts exports ontx: write onTx')
    expect(() => checkExports(['onstatus', 'onTx'], 'h.ts')).toThrow('write onStatus')
    expect(() => checkExports(['onTx', 'on_block'], 'h.ts')).toThrow('write onBlock')
  })
})

describe.each(SIDES)('receipts of entries without a transaction, on %s', (_, make) => {
  let side: Side
  beforeAll(async () => {
    side = await make()
  })
  afterAll(() => side.close())

  it('are found by the id', async () => {
    const { blocks, receipts, control } = side.stores()
    await control.create({ path: 'kinds', kind: 'own', key: 'ab'.repeat(32), discoveryKey: 'cd'.repeat(32), createdAt: 1 })
    await blocks.put('kinds', encodeBlock(0, 0, [encodeEntry(status(1)), encodeEntry(later(2))]))
    const all: Receipt[] = [1, 2].map((n, seq) => ({ key: id(n), id: id(n), seq, block: 0 }))
    await receipts.put('kinds', all)
    expect(
      await side.stores().receipts.find(
        'kinds',
        all.map(({ key, id }) => ({ key, id })),
      ),
    ).toEqual(all)
    expect(await receipts.ofTransaction('kinds', 'ab'.repeat(32))).toEqual([])
  })
})

describe('a machine', () => {
  it('writes posts of other kinds once, lists them, proves them, and gives them to subscribers and handlers', {
    timeout: 60_000,
  }, async () => {
    await using peers = await Peers.start()
    const [publisher, subscriber] = [peers.machine(), peers.machine()]
    const { key } = await publisher.pool.create({ path: 'mypool', port: false })
    const events: string[] = []
    for (const kind of ['tx', 'status', 'block'] as const)
      subscriber.pool.on(kind as 'tx', ({ kind, seq }) => void events.push(`${kind} ${seq}`), { name: kind })

    // Another process sends them, one of them twice. An entry of an unknown kind is written unchanged.
    const file = openLedgerFile(publisher.dir)
    const send = async (entry: Entry, kind: string) =>
      file.ingress.send([
        { body: encodeIngress({ pool: 'mypool', id: entry.id, kind, named: true, entry: encodeEntry(entry) }), group: 'mypool' },
      ])
    await publisher.pool.post({ path: 'mypool', payment: sampleTransaction('first') })
    await send(status(1), 'status')
    await send(later(2), 'vote')
    await send(status(1), 'status')
    await send(chainBlock(3), 'block')
    const all = () => publisher.pool.tail({ path: 'mypool', kinds: 'all', size: 20 })
    await until(all, ({ length }) => length === 4)
    await publisher.pool.post({ path: 'mypool', payment: sampleTransaction('last') })
    await until(all, ({ length }) => length === 5)

    expect((await all()).map(({ kind, seq }) => `${kind} ${seq}`)).toEqual(['tx 0', 'status 1', 'unknown 2', 'block 3', 'tx 4'])
    expect(
      (await publisher.pool.tail({ path: 'mypool', size: 2 })).map(({ seq }) => seq),
      'so many transactions',
    ).toEqual([0, 4])
    const statuses = await publisher.pool.tail({ path: 'mypool', kinds: ['status'] })
    expect(statuses).toEqual([
      expect.objectContaining({ kind: 'status', status: 'seen', of: { txid: 'ab'.repeat(32), seq: 0 }, path: 'mypool', key }),
    ])
    await expect(publisher.pool.tail({ path: 'mypool', kinds: ['votes' as 'tx'] })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })

    await subscriber.pool.sub({ path: await publisher.pool.pub({ path: 'mypool' }) })
    await until(
      () => events,
      ({ length }) => length === 4,
    )
    expect(events.toSorted()).toEqual(['block 3', 'status 1', 'tx 0', 'tx 4'])
    file.close()

    // After a restart the machine finds the ids in blocks and receipts, so the same post makes no second entry.
    await publisher.restart()
    await publisher.pool.create({ path: 'mypool', port: false })
    const again = openLedgerFile(publisher.dir)
    await again.ingress.send([
      { body: encodeIngress({ pool: 'mypool', id: id(1), kind: 'status', named: true, entry: encodeEntry(status(1)) }), group: 'mypool' },
    ])
    await publisher.pool.post({ path: 'mypool', payment: sampleTransaction('after it') })
    await until(all, (list) => list.length === 6)
    await until(
      () => again.ingress.depth(),
      ({ waiting, inFlight }) => waiting + inFlight === 0,
    )
    expect((await all()).map(({ kind }) => kind)).toEqual(['tx', 'status', 'unknown', 'block', 'tx', 'tx'])
    again.close()
  })

  it('that subscribes passes over entries of unknown kinds and nothing else', { timeout: 60_000 }, async () => {
    await using peers = await Peers.start()
    await using peer = new RawPeer(peers)
    const machine = peers.machine().listen()
    const publisher = await peer.publish(newKeyPair())
    const blocks = [
      encodeBlock(0, 0, [encodeEntry(later(1)), postOf('a').entry]),
      encodeBlock(1, 2, [encodeEntry(later(2))]),
      encodeBlock(2, 3, [postOf('b').entry, encodeEntry(status(3)), postOf('c').entry]),
    ]
    for (const { bytes } of blocks) await publisher.append(bytes)
    const { path } = await machine.pool.sub({ path: publisher.key })
    await until(
      () => machine.seen(path),
      ({ length }) => length === 3,
    )
    expect(machine.seen(path)).toEqual([1, 3, 5])
    const [stands] = await machine.pool.status()
    expect([stands?.entries, stands?.network?.skipped]).toEqual([6, undefined])
  })
})

it('a ledger file from before pools had a kind opens, and each pool gets the kind that its name implies', async () => {
  const peer = 'ef'.repeat(32)
  await using fresh = await tempLedger()
  const file = folderLayout(fresh.dir).ledger
  const db = new DatabaseSync(file)
  db.prepare('INSERT INTO pools (path, key, discoveryKey, createdAt) VALUES (?, ?, ?, 0)').run(peer, peer, peer)
  db.exec('ALTER TABLE pools DROP COLUMN kind')
  db.close()
  const opened = openLedgerFile(fresh.dir)
  expect((await opened.stores.control.list()).map(({ path, kind }) => [path, kind])).toEqual([
    ['a', 'own'],
    [peer, 'peer'],
  ])
  opened.close()
})
