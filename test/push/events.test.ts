import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { EncodedBlock } from '../../functions/events/encoded.ts'
import { Feeds } from '../../functions/events/feed.ts'
import { answerFollower, type FollowDeps } from '../../functions/events/follow.ts'
import { Followers } from '../../functions/events/followers.ts'
import { Quotas } from '../../functions/payments/quotas.ts'
import { type CreateOptions, Overpool } from '../../index.ts'
import { makeFolder } from '../../local/folder.ts'
import { EmbeddedMachine } from '../../local/machine.ts'
import { type LedgerFile, openLedgerFile } from '../../local/ports.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import { hexBytes } from '../../shared/ledger/values.ts'
import { findPool } from '../../shared/machine/find-pool.ts'
import type { Stores } from '../../shared/store/port.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { largePayment, until } from '../machine/machine.ts'
import { type Followed, Stream } from './stream.ts'

// The events of pools at the door of a real machine over SQLite.

const dir = mkdtempSync(join(tmpdir(), 'overpool-push-'))
let machine: Overpool
const open: Stream[] = []
let pools = 0

beforeAll(() => {
  machine = new Overpool({ dir })
})
afterEach(async () => {
  for (const stream of open.splice(0)) await stream[Symbol.asyncDispose]()
})
afterAll(async () => {
  await machine.close()
  rmSync(dir, { recursive: true })
})

/** A new pool that anybody may follow, unless the settings say otherwise. */
async function pool(settings: CreateOptions = {}): Promise<{ path: string; url: string }> {
  const path = `pool-${pools++}`
  const { url } = await machine.create({ path, port: 0, events: true, ...settings })
  return { path, url: url! }
}

async function follow(url: string, query = '', headers?: Record<string, string>): Promise<Stream> {
  const stream = await Stream.open(`${url}/events${query}`, headers)
  open.push(stream)
  return stream
}

const post = (path: string, text: string, fields: object = {}) =>
  machine.post({ path, payment: { transaction: sampleTransaction(text), ...fields } })

async function refusal(url: string, query = '', init?: RequestInit): Promise<{ status: number; memo: string; code: string }> {
  const response = await fetch(`${url}/events${query}`, init)
  return { status: response.status, ...((await response.json()) as { memo: string; code: string }) }
}

describe('the events of a pool', () => {
  it('begin with what comes from now on, or after the entry that the client names, and the id of each is its number', async () => {
    const { path, url } = await pool()
    await post(path, 'before')
    const fresh = await follow(url)
    await until(
      () => fresh.frames.length,
      (frames) => frames > 0,
    )
    expect(fresh.frames[0]).toEqual({ retry: '1000', id: '0' }) // its place: a browser that loses its connection now goes on from here
    const { hash } = await post(path, 'after')
    expect(await fresh.got(1)).toMatchObject([{ path, kind: 'tx', seq: 1, hash }])
    expect(fresh.events.map(({ id }) => id)).toEqual([1])
    const all = await follow(url, '?after=-1')
    expect((await all.got(2)).map(({ seq }) => seq)).toEqual([0, 1])
    const resumed = await follow(url, '?after=-1', { 'last-event-id': '0' })
    expect((await resumed.got(1)).map(({ seq }) => seq)).toEqual([1])
    expect(all.response.headers.get('content-type')).toBe('text/event-stream')
    expect(all.response.headers.get('access-control-allow-origin')).toBe('*')
  })

  it('show what `overpool tail --json` shows, without what payer and merchant have written for one another', async () => {
    const { path, url } = await pool()
    await post(path, 'private', { memo: 'for all', merchantData: '{"order":7}', refundTo: 'my address' })
    const stream = await follow(url, '?after=-1')
    const [event] = await stream.got(1)
    const [shown] = await machine.tail({ path })
    const { payment, ...rest } = JSON.parse(JSON.stringify(shown)) as Followed
    expect(event).toEqual({ ...rest, payment: { transaction: payment.transaction, memo: 'for all' } })
    expect(stream.text).not.toMatch(/order|my address/)
  })

  it('show neither the id nor the data of an invoice, which open its page', async () => {
    const { path, url } = await pool()
    const invoice = await machine.invoice({ path, amount: 500, data: { secret: 'of the merchant' } })
    await machine.invoice.cancel({ path, id: invoice.id })
    const stream = await follow(url, '?after=-1&kinds=invoice')
    const [event] = await stream.got(1)
    expect(event).toMatchObject({ kind: 'invoice', invoice: { state: 'cancelled', received: 0 } })
    expect(stream.text).not.toContain(invoice.id)
    expect(stream.text).not.toContain('of the merchant')
  })

  it.each([
    ['lines that look like an event', 'a\n\ndata: {"seq":99}\nid: 99\n\nevent: x\n\n'],
    ['every kind of line break', 'a\r\rdata: 1\r\n\r\ndata: 2\u2028\u2029\u0085\u000b\u000c\n\n'],
    ['a NUL, quotes and a byte order mark', '\0"\\}\ufeff'],
  ])('keep a memo in its place that has %s', async (_, memo) => {
    const { path, url } = await pool()
    await post(path, 'hostile', { memo })
    await post(path, 'next')
    const stream = await follow(url, '?after=-1')
    const events = await stream.got(2)
    expect(events.map(({ seq }) => seq)).toEqual([0, 1])
    expect(stream.frames.map(({ id }) => id)).toEqual(['-1', '0', '1'])
    expect(stream.frames.slice(1).map((frame) => Object.keys(frame))).toEqual([
      ['id', 'data'],
      ['id', 'data'],
    ])
    expect(events[0]!.payment.memo).toBe(memo.replace(/^\ufeff+/, ''))
  })

  it('are those of the kinds, or about the transaction, that the client asks for', async () => {
    const { path, url } = await pool()
    const [first, second] = [await post(path, 'one'), await post(path, 'two')]
    const invoice = await machine.invoice({ path, amount: 500 })
    await machine.invoice.cancel({ path, id: invoice.id })
    const all = await follow(url, '?after=-1&kinds=all')
    expect((await all.got(3)).map(({ kind }) => kind)).toEqual(['tx', 'tx', 'invoice'])
    const one = await follow(url, `?after=-1&txid=${second.hash.toUpperCase()}`)
    const other = await follow(url, `?after=-1&kinds=invoice,status&txid=${first.hash}`)
    const third = await post(path, 'three')
    expect((await one.got(1)).map(({ seq }) => seq)).toEqual([1])
    await all.got(4)
    expect([one.events.length, other.events.length]).toEqual([1, 0])
    expect((await (await follow(url, `?after=-1&txid=${third.hash}`)).got(1))[0]!.seq).toBe(3)
  })

  it('say at the end how far they have come, so that what was passed over is not read again', async () => {
    const other = new Overpool({ dir: join(dir, 'other') })
    const { url } = await other.create({ path: 'mypool', port: 0, events: true })
    const stream = await follow(url!, '?kinds=reorg')
    for (const text of ['a', 'b', 'c']) await other.post({ path: 'mypool', payment: sampleTransaction(text) })
    const watching = await follow(url!, '?after=-1')
    await watching.got(3)
    await other.close()
    await until(
      () => stream.isOver,
      (isOver) => isOver,
    )
    expect(stream.frames.at(-1)).toEqual({ id: '2' })
  })

  it('are there as soon as the door is open after a restart, while the pool is opened: a browser that is told "not found" does not come again', async () => {
    const folder = join(dir, 'restarted')
    const settings = () => checkSettings({ events: true }, '')
    const options = { dir: folder, settings, report: () => {} }
    makeFolder(folder)
    const before = await EmbeddedMachine.open(options)
    await before.create('mypool', { events: true })
    await before.close()
    const after = await EmbeddedMachine.open(options)
    const { url } = await after.listen(['mypool'], 0, '127.0.0.1')
    const stream = await follow(`${url}/mypool`)
    expect(stream.response.status).toBe(200)
    await after.create('mypool', { events: true })
    await after.pools.post({ path: 'mypool', payment: sampleTransaction('after') })
    await stream.got(1)
    await after.close()
  })

  it('leave out the transaction of an entry that is too large for them, and say so', async () => {
    const { path, url } = await pool()
    const { hash } = await machine.post({ path, payment: largePayment(300_000) })
    await post(path, 'small')
    const stream = await follow(url, '?after=-1')
    const [large, small] = await stream.got(2)
    expect(large).toMatchObject({ seq: 0, hash, large: true })
    expect([large!.payment, large!.parsed, small!.large]).toEqual([undefined, undefined, undefined])
  })

  it('begin after what was pruned', async () => {
    const { path, url } = await pool()
    await post(path, 'old')
    await machine.prune({ path })
    await post(path, 'new')
    expect((await (await follow(url, '?after=-1')).got(1)).map(({ seq }) => seq)).toEqual([1])
  })
})

describe('who may follow', () => {
  it('is nobody, unless the pool says so', async () => {
    for (const settings of [{ events: undefined }, { events: false }]) {
      const { url } = await pool(settings)
      expect(await refusal(url)).toMatchObject({ status: 404, code: 'POOL_NOT_FOUND', memo: /`events: true` in the settings/ })
    }
  })

  it('is decided by a function of the request, which may show the whole', async () => {
    const asked: string[] = []
    const { path, url } = await pool({
      async events({ header, query, path, address }) {
        asked.push(`${path} ${address} ${header('X-Name')}`)
        if (query.get('token') === 'bad') throw new Error('the database is away')
        if (query.get('token') === 'odd') return 'yes' as never
        return query.get('token') === 'mine' ? 'whole' : header('authorization') === 'Bearer friend'
      },
    })
    await post(path, 'private', { merchantData: 'order 7' })
    expect(await refusal(url)).toMatchObject({ status: 403, code: 'FOLLOWING_REFUSED', memo: 'this pool does not let you follow it' })
    for (const token of ['bad', 'odd'])
      expect(await refusal(url, `?token=${token}`)).toEqual({
        status: 503,
        error: 1,
        code: 'UNAVAILABLE',
        memo: 'The events cannot be sent at this moment. Please come again.',
      })
    const friend = await follow(url, '?after=-1', { authorization: 'Bearer friend', 'x-name': 'ann' })
    expect((await friend.got(1))[0]!.payment.merchantData).toBeUndefined()
    expect(asked.at(-1)).toBe(`${path} 127.0.0.1 ann`)
    const mine = await follow(url, '?after=-1&token=mine&kinds=tx,commit')
    expect((await mine.got(1))[0]!.payment.merchantData).toBe('order 7')
  })

  it('ends when the setting is taken back', async () => {
    const { path, url } = await pool()
    const stream = await follow(url)
    await machine.create({ path, port: false, events: false })
    await post(path, 'one')
    await until(
      () => stream.isOver,
      (isOver) => isOver,
    )
    await post(path, 'two')
    expect(stream.events.length).toBeLessThan(2)
  })

  it('are the web pages that may post, if the pool names them', async () => {
    const { url } = await pool({ origins: ['https://shop.example'] })
    expect(await refusal(url, '', { headers: { origin: 'https://evil.example' } })).toMatchObject({ status: 403, code: 'ORIGIN_REFUSED' })
    const page = await follow(url, '', { origin: 'https://shop.example' })
    expect(page.response.headers.get('access-control-allow-origin')).toBe('https://shop.example')
    expect((await follow(url)).response.status).toBe(200)
  })

  it('is told what is wrong with a request', async () => {
    const { path, url } = await pool()
    await post(path, 'one')
    expect(await refusal(url, '?after=1')).toMatchObject({ status: 400, code: 'BAD_REQUEST', memo: /has 1 entries.*without `after`/ })
    expect(await refusal(url, '?after=1.5')).toMatchObject({ status: 400, memo: /^after is the number/ })
    expect(await refusal(url, '?kinds=tx,commit')).toMatchObject({ status: 400, memo: /^kinds is "all", or a list such as "tx,status"/ })
    expect(await refusal(url, '?txid=abc')).toMatchObject({ status: 400, memo: /64 hex/ })
    expect(await refusal(url, '', { method: 'POST' })).toMatchObject({ status: 405, memo: 'the events of a pool are read with a GET' })
    expect(await refusal(url.replace(path, 'nopool'))).toMatchObject({ status: 404 })
  })
})

describe('a follower', () => {
  it('who does not read is cut off, holds nobody up, and gets the rest when it comes again', { timeout: 90_000 }, async () => {
    const { path, url } = await pool()
    const { hostname, port, pathname } = new URL(url)
    const slow = connect(Number(port), hostname)
    await once(slow, 'connect')
    slow.pause()
    slow.write(`GET ${pathname}/events HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`)
    const quick = await follow(url)
    const quiet = await follow((await pool()).url)
    const count = 2_000
    const memo = 'x'.repeat(10_000) // in all more than the system's buffers take
    for (let i = 0; i < count; i += 100) await Promise.all(Array.from({ length: 100 }, (_, j) => post(path, `large ${i + j}`, { memo })))
    expect((await quick.got(count)).map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, seq) => seq))
    let read = ''
    const closed = once(slow, 'close')
    // It reads what had been sent, and no more comes.
    await new Promise((resolve) => setTimeout(resolve, 21_000))
    expect(quiet.frames.slice(1, 3), 'signs of life, where nothing happens').toContainEqual({ id: '-1' })
    slow.on('data', (chunk) => (read += chunk)).on('error', () => {})
    slow.resume()
    await closed
    const ids = [...read.matchAll(/^id: (\d+)\ndata: .*\n\n/gm)].map(([, id]) => Number(id))
    expect(ids.length).toBeLessThan(count)
    const resumed = await follow(url, `?after=${ids.at(-1) ?? -1}`)
    const rest = (await resumed.got(count - ids.length)).map(({ seq }) => seq)
    expect([...ids, ...rest]).toEqual(Array.from({ length: count }, (_, seq) => seq))
  })

  it('makes room for another one as soon as it goes', async () => {
    await using small = await Small.open({ most: 1 })
    for (let i = 0; i < 3; i++) {
      const { gone, over, sent } = await small.follow()
      await until(
        () => sent.length,
        (length) => length === 1,
      )
      await expect(small.follow()).rejects.toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
      const asked = performance.now()
      gone.abort()
      await over
      expect(performance.now() - asked).toBeLessThan(5_000) // not only at the next sign of life
    }
  })

  it('may go on after an entry that a handler has told it of, though the feed has not read it yet', async () => {
    await using small = await Small.open({ most: 10 })
    await small.follow() // the feed is there, and has read what there was: nothing
    await small.stores.blocks.put('mypool', blocks[0]!)
    await expect(small.follow('after=1')).rejects.toThrow(/has 1 entries/)
    const { sent } = await small.follow('after=0')
    await small.stores.blocks.put('mypool', blocks[1]!)
    small.feeds.wrote('mypool')
    await until(
      () => sent.length,
      (length) => length >= 2,
    )
    expect(sent.map((text) => /^(?:retry: \d+\n)?id: (-?\d+)/.exec(text)![1])).toEqual(['0', '1'])
  })

  it('is one of at most so many, in all and of one address', () => {
    const followers = new Followers({ most: 150 })
    const left = Array.from({ length: 100 }, () => followers.enter('203.0.113.7'))
    expect(() => followers.enter('203.0.113.7')).toThrow(expect.objectContaining({ code: 'QUOTA_EXCEEDED', retryAfterS: 30 }))
    left.push(...Array.from({ length: 50 }, () => followers.enter('127.0.0.1')))
    expect(() => followers.enter('198.51.100.1')).toThrow(expect.objectContaining({ code: 'OVERLOADED', retryAfterS: 10 }))
    for (const leave of [...left, ...left]) leave() // each counts once
    for (let i = 0; i < 20; i++) followers.enter('203.0.113.7', false)
    for (let i = 0; i < 100; i++) followers.enter('203.0.113.7')
    expect(() => followers.enter('203.0.113.7')).toThrow(expect.objectContaining({ code: 'QUOTA_EXCEEDED' }))
  })

  it('is cut off when too many bytes wait for slow readers, the one first that has waited the longest', () => {
    const encoded = blocks.map((block) => new EncodedBlock({ path: 'mypool', key: 'ab'.repeat(32) }, block))
    const followers = new Followers({ most: 10, heldBytes: 2.5 * encoded[0]!.size })
    const cut: string[] = []
    followers.hold(encoded[0]!, () => cut.push('first'))
    followers.hold(encoded[0]!, () => cut.push('second'))
    const release = followers.hold(encoded[1]!, () => cut.push('third'))
    expect(cut).toEqual([]) // a block that two wait for counts once
    followers.hold(encoded[2]!, () => cut.push('fourth'))
    expect(cut).toEqual(['first', 'second'])
    release()
    followers.hold(encoded[0]!, () => cut.push('fifth'))
    expect(cut).toEqual(['first', 'second'])
  })
})

/** Blocks of one entry each. */
const blocks = [0, 1, 2].map((n) => {
  const tx = hexBytes(sampleTransaction(`block ${n}`.padEnd(200)))
  const id = String(n).padStart(64, '0') as EntryId
  return encodeBlock(n, n, [encodeEntry({ kind: 'tx', id, at: 1, source: 'http', hops: 0, tx, payment: {} })])
})

/** The feed of a pool in a ledger whose blocks the test writes. */
class Small implements AsyncDisposable {
  readonly stores: Stores
  readonly feeds: Feeds
  readonly #close: () => void
  readonly #deps: FollowDeps

  static async open({ most }: { most: number }): Promise<Small> {
    const folder = mkdtempSync(join(dir, 'small-'))
    const file = openLedgerFile(folder)
    await file.stores.control.create({ path: 'mypool', kind: 'own', key: 'aa', discoveryKey: 'bb', createdAt: 0 })
    return new Small(file, most)
  }

  private constructor({ stores, close }: LedgerFile, most: number) {
    const fail = (error: unknown) => expect.fail(String(error))
    this.stores = stores
    this.#close = close
    const control = (path: string) => findPool(stores.control, path)
    this.feeds = new Feeds({ blocks: stores.blocks, control, clock: systemClock, lookMs: 60_000, failed: fail })
    this.#deps = {
      pool: () => ({ path: 'mypool', events: true }),
      feeds: this.feeds,
      followers: new Followers({ most }),
      quotas: new Quotas(),
      clock: systemClock,
      threwLate: fail,
      log: fail,
    }
  }

  /** A follower, what was sent to it, and the end of its stream. */
  async follow(query = ''): Promise<{ sent: string[]; gone: AbortController; over: Promise<void> }> {
    const request = { method: 'GET', path: '/mypool/events', query, header: () => undefined, body: async () => new Uint8Array() }
    const { stream } = await answerFollower(request, 'mypool', this.#deps)
    const gone = new AbortController()
    const sent: string[] = []
    const write = (bytes: Uint8Array) => sent.push(Buffer.from(bytes).toString()) > 0
    return { sent, gone, over: stream!({ write, drained: async () => true, cut: () => {}, gone: gone.signal }) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.feeds.close()
    this.#close()
  }
}
