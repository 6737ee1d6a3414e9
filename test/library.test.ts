import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Script, Transaction } from '@bsv/sdk'
import { afterAll, describe, expect, it } from 'vitest'
import { openFolder } from '../client/folder.ts'
import { dataTransaction, type Filter, type MachineError, type OnTx, Overpool, OverpoolError, type TxEvent } from '../index.ts'
import { folderLayout } from '../local/folder.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { type Ack, until } from './machine/machine.ts'

const root = mkdtempSync(join(tmpdir(), 'overpool-library-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const newFolder = () => mkdtempSync(join(root, 'm-'))

/** A machine in a folder of its own, with a pool that has no door. */
async function machine(dir = newFolder()): Promise<Overpool> {
  const pool = new Overpool({ dir })
  await pool.create({ path: 'mypool', port: false })
  return pool
}

/** A handler that records its calls. */
function recorder(): { events: TxEvent[]; onTx: OnTx; seqs: () => number[] } {
  const events: TxEvent[] = []
  return { events, onTx: (e) => void events.push(e), seqs: () => events.map(({ seq }) => seq) }
}

/** The machine's error events. */
function errorsOf(pool: Overpool): MachineError[] {
  const errors: MachineError[] = []
  pool.on('error', (error) => void errors.push(error))
  return errors
}

const post = (pool: Overpool, text: string, path = 'mypool') => pool.post({ path, payment: sampleTransaction(text) })
const textOf = (e: TxEvent) => e.parsed.out[0]!.tape[1]!.cell[0]!.s
const textsIn = async (pool: Overpool, path = 'mypool') => (await Array.fromAsync(pool.read({ path }))).map(textOf)

/** Posts as a wallet does. */
async function pay(url: string, payment: object): Promise<Ack> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(payment) })
  return { status: response.status, body: (await response.json()) as Ack['body'] }
}

/** The code of the OverpoolError that a call fails with; another error is printed in full. */
async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call()
  } catch (error) {
    return error instanceof OverpoolError ? error.code : `not ours: ${inspect(error)}`
  }
  return 'no error'
}

/** Runs a program, which has an Overpool over this folder as `pool`, until it ends by itself; resolves to what it printed. */
async function outputOf(dir: string, program: string): Promise<string> {
  const head = `
    import { writeSync } from 'node:fs'
    import { Overpool } from ${JSON.stringify(new URL('../index.ts', import.meta.url))}
    const pool = new Overpool({ dir: ${JSON.stringify(dir)} })\n`
  const child = spawn(process.execPath, ['--input-type=module', '-e', head + program], { stdio: ['ignore', 'pipe', 'inherit'] })
  return (await child.stdout.setEncoding('utf8').toArray()).join('')
}

describe('a pool', () => {
  it('takes posts and handlers before create has finished, and more handlers after it', async () => {
    await using pool = new Overpool({ dir: newFolder() })
    const [early, late] = [recorder(), recorder()]
    pool.on('tx', early.onTx)
    const created = pool.create({ path: 'mypool', port: 0 })
    const posted = post(pool, 'at once')
    const { path, key, url } = await created
    expect([path, /^[0-9a-f]{64}$/.test(key), /^http:\/\/127\.0\.0\.1:\d+\/mypool$/.test(url!)]).toEqual(['mypool', true, true])
    pool.on('tx', late.onTx)
    const { hash } = await posted
    for (const { seqs, events } of [early, late]) {
      await until(seqs, ({ length }) => length === 1)
      expect(events[0]).toMatchObject({ path, key, hash, seq: 0 })
    }
  })

  it('is named localhost by default; many share one port, which only this computer reaches', async () => {
    await using pool = new Overpool({ dir: newFolder() })
    const [a, b, c] = await Promise.all([
      pool.create({ path: 'a', port: 0 }),
      pool.create({ path: 'b', port: '0' }),
      pool.create({ port: false }),
    ])
    expect([new URL(a.url!).host, c.path, c.url]).toEqual([new URL(b.url!).host, 'localhost', undefined])
    for (const { url } of [a, b]) expect((await pay(url!, { transaction: sampleTransaction('x') })).status).toBe(200)
    expect((await pay(new URL('localhost', a.url).href, {})).status).toBe(404) // this pool has no door
    const elsewhere = Object.values(networkInterfaces()).flatMap((all) =>
      all!.flatMap(({ internal, family, address }) => (internal || family !== 'IPv4' ? [] : [address])),
    )
    for (const address of elsewhere) await expect(fetch(`http://${address}:${new URL(a.url!).port}/a`)).rejects.toThrow('fetch failed')
    await until(
      () => textsIn(pool, 'b'),
      (texts) => texts.length === 1,
    )
  })

  it('takes a transaction as hex, as bytes, as an object of @bsv/sdk or of bsv 1, or in a Payment, and returns what it took', async () => {
    await using pool = await machine()
    const transaction = new Transaction(1, [], [{ lockingScript: Script.fromASM('OP_FALSE OP_RETURN aa') as never, satoshis: 0 }])
    const hex = transaction.toHex()
    const old = { toBuffer: () => Buffer.from(hex, 'hex'), toString: () => hex, toJSON: () => ({}) }
    for (const payment of [
      hex,
      Buffer.from(hex, 'hex'),
      new Uint8Array(Buffer.from(hex, 'hex')),
      [...Buffer.from(hex, 'hex')],
      Buffer.from(`${hex}\n`), // a file of hex
      transaction,
      old,
      { transaction: hex },
      { transaction: Buffer.from(hex, 'hex') },
      { transaction: [...Buffer.from(hex, 'hex')] },
      { transaction, memo: 'm' },
      { transaction: old, merchantData: { n: 1 } },
    ]) {
      const { payment: taken, hash, id } = await pool.post({ path: 'mypool', payment })
      expect([taken.transaction, hash]).toEqual([hex, transaction.id('hex')])
      const [event] = await pool.tail({ path: 'mypool', size: 1 })
      expect(event).toMatchObject({ id, hash, payment: taken, source: 'api', hops: 0 })
    }
    const rest = (await pool.tail({ path: 'mypool', size: 2 })).map(({ payment: { memo, merchantData } }) => memo ?? merchantData)
    expect(rest).toEqual(['m', { n: 1 }])
  })

  it('keeps a post unchanged when the program changes its object afterwards', async () => {
    await using pool = await machine()
    const payment = { transaction: '', merchantData: { step: -1 } }
    const posts = [0, 1, 2, 3, 4].map((step) => {
      payment.transaction = sampleTransaction(`step ${step}`)
      payment.merchantData.step = step
      return pool.post({ path: 'mypool', payment })
    })
    await Promise.all(posts)
    const held = (await pool.tail({ path: 'mypool' })).map((e) => [textOf(e), e.payment.merchantData])
    expect(held).toEqual([0, 1, 2, 3, 4].map((step) => [`step ${step}`, { step }]))
  })

  it('finds each entry of a transaction by its id', async () => {
    await using pool = await machine()
    const payment = sampleTransaction('twice')
    const posted = [await pool.post({ path: 'mypool', payment }), await pool.post({ path: 'mypool', payment, id: 'a name' })]
    for (const [seq, { hash, id }] of posted.entries()) expect((await pool.get({ path: 'mypool', hash, id })).seq).toBe(seq)
    const { hash } = posted[0]!
    expect(await codeOf(() => pool.get({ path: 'mypool', hash, id: '00'.repeat(32) }))).toBe('ENTRY_NOT_FOUND')
    expect(await codeOf(() => pool.get({ path: 'mypool', hash, id: 'a name' }))).toBe('BAD_ARGUMENT')
  })

  it('stores a post durably before it acknowledges it: a kill -9 right after the answer loses nothing', async () => {
    const dir = newFolder()
    const hash = await outputOf(
      dir,
      `pool.create({ path: 'mypool', port: false })
       const { hash } = await pool.post({ path: 'mypool', payment: '${sampleTransaction('durable')}' })
       writeSync(1, hash)
       process.kill(process.pid, 'SIGKILL')`,
    )
    expect(hash).toHaveLength(64)
    await using pool = await machine(dir)
    expect((await pool.get({ path: 'mypool', hash })).seq).toBe(0)
  })

  it('gives a post to get, tail and read right after it was made, also while others post', async () => {
    await using pool = await machine()
    await pool.create({ path: 'busy', port: false })
    let enough = false
    const others = (async () => {
      for (let i = 0; !enough; i++) await Promise.all([post(pool, `noise ${i}`, 'busy'), post(pool, `more ${i}`, 'busy')])
    })()
    for (let i = 0; i < 20; i++) {
      const { hash } = await post(pool, `number ${i}`)
      if (i % 2) expect((await pool.tail({ path: 'mypool', size: 1 })).map(({ seq }) => seq)).toEqual([i])
      else expect((await pool.get({ path: 'mypool', hash: hash.toUpperCase() })).seq).toBe(i)
    }
    enough = true
    await others
    expect((await pool.tail({ path: 'mypool' })).map(textOf)).toEqual(Array.from({ length: 10 }, (_, i) => `number ${i + 10}`))
    const some = await Array.fromAsync(pool.read({ path: 'mypool', from: 3, to: 6 }))
    expect(some.map(({ seq }) => seq)).toEqual([3, 4, 5])
    expect(await Array.fromAsync(pool.read({ path: 'mypool', from: 6, to: 3 }))).toEqual([])
    expect(await Array.fromAsync(pool.read({ path: 'mypool', from: 1_000_000 }))).toEqual([])
    const first: number[] = []
    for await (const { seq } of pool.read({ path: 'mypool' })) {
      first.push(seq)
      if (seq === 2) break
    }
    expect(first).toEqual([0, 1, 2])
  })

  it('can be read while it grows', async () => {
    await using pool = await machine()
    await post(pool, '0')
    const read: string[] = []
    for await (const e of pool.read({ path: 'mypool' })) {
      read.push(textOf(e)!)
      if (read.length === 5) break
      await post(pool, String(read.length))
      await pool.tail({ path: 'mypool' })
    }
    expect(read).toEqual(['0', '1', '2', '3', '4'])
  })

  it('can be pruned: tail and read begin after the old entries, get still finds them, and sequence numbers go on', async () => {
    await using pool = await machine()
    const { hash } = await post(pool, 'old')
    await pool.prune('mypool')
    expect([await pool.tail({ path: 'mypool' }), await textsIn(pool)]).toEqual([[], []])
    await post(pool, 'new')
    expect((await pool.tail({ path: 'mypool', size: 100 })).map((e) => [e.seq, textOf(e)])).toEqual([[1, 'new']])
    expect(textOf(await pool.get({ path: 'mypool', hash }))).toBe('old')
    await pool.prune({ path: 'mypool' }, { archive: true }) // as in underpool
    expect(await textsIn(pool)).toEqual([])
    await expect(pool.prune('mypool', { archive: 3 as never })).rejects.toThrow('deletes none')
  })

  it('that is created again has its new settings at all its doors, and its old entries', async () => {
    await using pool = new Overpool({ dir: newFolder() })
    const first = await pool.create({ path: 'mypool', port: 0, filter: () => false })
    expect((await pay(first.url!, { transaction: sampleTransaction('a') })).status).toBe(403)
    const second = await pool.create({ path: 'mypool', port: 0, host: 'localhost', unique: 'transaction' })
    expect(second.key).toBe(first.key)
    expect(await codeOf(() => pool.create({ path: 'mypool', port: false, maxAttempts: 0 }))).toBe('BAD_CONFIG') // the earlier settings stay
    for (const memo of ['x', 'y'])
      for (const { url } of [first, second]) expect((await pay(url!, { transaction: sampleTransaction('a'), memo })).status).toBe(200)
    await post(pool, 'b')
    expect(await textsIn(pool)).toEqual(['a', 'b'])
  })
})

it('a pool keeps its settings: posts that wait while a program begins are written with them before it creates the pool again', async () => {
  const dir = newFolder()
  const before = new Overpool({ dir })
  await before.create({ path: 'mypool', port: false, unique: 'transaction' })
  await before.close()
  const other = openFolder(dir)
  for (const memo of ['a', 'b', 'c']) await other.pools.post({ path: 'mypool', payment: { transaction: sampleTransaction('same'), memo } })
  const handled = recorder()
  await using pool = new Overpool({ dir })
  pool.on('tx', handled.onTx) // opens the machine
  await until(
    () => other.ingress.depth(),
    ({ waiting, inFlight }) => waiting + inFlight === 0,
  )
  await other.close()
  expect(await textsIn(pool)).toEqual(['same'])
  await pool.create({ path: 'mypool', port: false }) // from now on it takes each post
  for (const memo of ['d', 'e']) await pool.post({ path: 'mypool', payment: { transaction: sampleTransaction('same'), memo } })
  await until(handled.seqs, ({ length }) => length === 3)
  expect(await textsIn(pool)).toEqual(['same', 'same', 'same'])
})

describe('a filter', () => {
  const filters: Record<string, [filter: Filter, memo: string]> = {
    calls_back: [(payment, callback) => (payment.memo ? callback(null, true) : callback('say what it is for')), 'say what it is for'],
    calls_back_later: [
      (payment, callback) => void setTimeout(() => (payment.memo ? callback(null, true) : callback(new Error('not now'))), 1),
      'not now',
    ],
    calls_back_with_false: [({ memo }, callback) => callback(null, memo !== undefined), 'this pool does not take such a payment'],
    throws: [
      ({ memo }, _callback) => {
        if (!memo) throw new Error('no')
        _callback()
      },
      'no',
    ],
    is_async_and_throws: [
      async ({ memo }) => {
        await turn()
        if (!memo) throw new Error('too cheap')
      },
      'too cheap',
    ],
    is_async_with_a_callback_and_throws: [
      async ({ memo }, callback) => {
        await turn()
        if (!memo) throw new Error('too cheap')
        callback(null, true)
      },
      'too cheap',
    ],
    is_async_and_returns: [
      async ({ memo, parsed }, _callback) => parsed.out.length === 1 && memo !== undefined,
      'this pool does not take such a payment',
    ],
    returns_false: [({ memo }) => memo !== undefined, 'this pool does not take such a payment'],
    throws_undefined: [
      ({ memo }) => {
        if (!memo) throw undefined
      },
      'this pool does not take such a payment',
    ],
  }

  it('that takes each order once takes the same payment again, since that is a retry, and no other payment of the order', async () => {
    await using pool = new Overpool({ dir: newFolder() })
    const taken = new Set<string>()
    const filter: Filter = ({ memo }) => !taken.has(memo!) && Boolean(taken.add(memo!))
    const { url } = await pool.create({ path: 'mypool', port: 0, filter })
    const order = { transaction: sampleTransaction('first'), memo: 'order 7' }
    const answers = await Promise.all(Array.from({ length: 50 }, () => pay(url!, order)))
    await until(
      () => textsIn(pool),
      (texts) => texts.length === 1,
    )
    answers.push(await pay(url!, order))
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
    expect(answers[0]!.status).toBe(200)
    expect((await pay(url!, { ...order, transaction: sampleTransaction('second') })).status).toBe(403)
    // A named post, and that of a handler which runs twice, are retries too.
    const named = { path: 'mypool', id: 'order 8', payment: { transaction: sampleTransaction('third'), memo: 'order 8' } }
    expect((await pool.post(named)).id).toBe((await pool.post(named)).id)
    expect(await codeOf(() => pool.post({ ...named, id: 'another' }))).toBe('FILTER_REFUSED')
    expect(await textsIn(pool)).toEqual(['first', 'third'])
  })

  it.each(Object.entries(filters))('that %s refuses a payment, and the wallet gets its reason', async (path, [filter, memo]) => {
    await using pool = new Overpool({ dir: newFolder() })
    const { url } = await pool.create({ path, port: 0, filter })
    const transaction = sampleTransaction(path)
    expect(await pay(url!, { transaction })).toMatchObject({ status: 403, body: { memo, error: 1 } })
    await expect(pool.post({ path, payment: transaction })).rejects.toMatchObject({ code: 'FILTER_REFUSED', message: memo })
    expect((await pay(url!, { transaction, memo: 'coffee' })).status).toBe(200)
    await until(
      () => textsIn(pool, path),
      (texts) => texts.length === 1,
    )
  })
})

describe('handlers', () => {
  it('are each called with every entry of every pool, in the order of that pool', async () => {
    await using pool = await machine()
    await pool.create({ path: 'other', port: false })
    const [a, b] = [recorder(), recorder()]
    pool.on('tx', a.onTx).on('tx', b.onTx)
    for (let i = 0; i < 10; i++) await Promise.all([post(pool, `${i}`), post(pool, `${i}`, 'other')])
    for (const { events, seqs } of [a, b]) {
      await until(seqs, ({ length }) => length === 20)
      for (const path of ['mypool', 'other']) expect(events.filter((e) => e.path === path).map(textOf)).toEqual('0123456789'.split(''))
    }
  })

  it('of underpool work: * is every pool, the name of a pool is that pool alone', async () => {
    await using pool = await machine()
    await pool.create({ path: 'other', port: false })
    const [all, one] = [recorder(), recorder()]
    pool.on('*', all.onTx).on('other', one.onTx)
    for (const path of ['mypool', 'other', 'mypool', 'other']) await post(pool, path, path)
    await until(all.seqs, ({ length }) => length === 4)
    await until(one.seqs, ({ length }) => length === 2)
    expect(one.events.map((e) => [e.path, e.seq])).toEqual([
      ['other', 0],
      ['other', 1],
    ])
    pool.off('other', one.onTx)
    await post(pool, 'later', 'other')
    await until(all.seqs, ({ length }) => length === 5)
    expect(one.events).toHaveLength(2)
  })

  it('that wait for a pool that does not exist are reported, since an event may be misspelt', async () => {
    await using pool = await machine()
    const reported = Promise.withResolvers<string>()
    pool.on('error', ({ message }) => reported.resolve(message))
    pool.on('soon', () => {})
    await pool.create({ path: 'soon', port: false })
    pool.on('txs', () => {})
    expect(await reported.promise).toBe(
      'the handler of on(\'txs\', …) waits: there is no pool "txs" yet. If an event was meant, they are tx, status, block, reorg, invoice, *, error',
    )
  })

  it('go on at the place of their name after a restart; a new name begins with the first entry', async () => {
    const dir = newFolder()
    {
      await using pool = await machine(dir)
      const [first, second] = [recorder(), recorder()]
      pool.on('tx', first.onTx).on('tx', second.onTx, { name: 'mail' })
      for (const text of ['a', 'b']) await post(pool, text)
      for (const { seqs } of [first, second]) await until(seqs, ({ length }) => length === 2)
    }
    await using pool = await machine(dir)
    const [mail, first, third] = [recorder(), recorder(), recorder()]
    pool.on('tx', mail.onTx, { name: 'mail' }).on('tx', first.onTx).on('tx', third.onTx)
    await post(pool, 'c')
    for (const { seqs } of [mail, first]) await until(seqs, ({ length }) => length >= 1)
    await until(third.seqs, ({ length }) => length === 3)
    expect([mail.seqs(), first.seqs(), third.seqs()]).toEqual([[2], [2], [0, 1, 2]])
  })

  it('that are removed finish their entry and begin no other; added again they go on, and never two run at once', async () => {
    await using pool = await machine()
    const running = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const begun: string[] = []
    const slow: OnTx = async (e) => {
      begun.push(`slow ${e.seq}`)
      running.resolve()
      await release.promise
      begun.push(`done ${e.seq}`)
    }
    for (const text of ['a', 'b', 'c']) await post(pool, text)
    await pool.tail({ path: 'mypool' }) // they are in the ledger, so one bell covers all three
    pool.on('tx', slow)
    await running.promise
    pool.off('tx', slow)
    pool.on('tx', (e) => void begun.push(`quick ${e.seq}`)) // a handler of the same name
    await post(pool, 'd')
    await pool.tail({ path: 'mypool' })
    expect(begun).toEqual(['slow 0'])
    release.resolve()
    await until(
      () => begun,
      ({ length }) => length >= 5,
    )
    expect(begun).toEqual(['slow 0', 'done 0', 'quick 1', 'quick 2', 'quick 3'])
  })

  it('that throw, reject or never return are called again with the same entry; then it is a dead letter, and they go on with the next', async () => {
    await using pool = new Overpool({ dir: newFolder() })
    const errors = errorsOf(pool)
    await pool.create({ path: 'mypool', port: false, maxAttempts: 2, timeoutMs: 200 })
    const runs: string[] = []
    pool.on('tx', (e) => {
      const text = textOf(e)!
      runs.push(text)
      if (text === 'throws') throw new TypeError('at once')
      return text === 'rejects' ? Promise.reject('later') : text === 'hangs' ? new Promise(() => {}) : undefined
    })
    for (const text of ['throws', 'rejects', 'hangs', 'works']) await post(pool, text)
    await until(
      () => runs,
      (all) => all.includes('works'),
    )
    expect(runs).toEqual(['throws', 'throws', 'rejects', 'rejects', 'hangs', 'hangs', 'works'])
    expect(errors.map(({ report }) => report.kind)).toEqual(['failed', 'given-up', 'failed', 'given-up', 'failed', 'given-up'])
    expect(errors[0]!.message).toMatch(/^handler tx failed at mypool #0 \(attempt 1, it is retried\): TypeError: at once/)
    expect(errors.map(({ cause }) => (cause instanceof Error ? cause.message : cause))).toEqual(
      ['at once', 'at once', 'later', 'later'].concat(Array(2).fill('the handler took longer than 200 ms')),
    )
  })

  it('post as a consequence of their entry from any depth of their code, and a second run posts nothing twice', async () => {
    await using pool = await machine()
    await pool.create({ path: 'out', port: false })
    let runs = 0
    pool.on('tx', async (e) => {
      if (e.path !== 'mypool') return
      const say = (text: string) => post(pool, text, 'out')
      runs++
      await turn()
      await say('after an await')
      await Promise.all(['first', 'second', 'third'].map(say))
      await new Promise((resolve, reject) => setTimeout(() => say('in a timer').then(resolve, reject), 1))
      void say('not awaited').then(() => say('and what followed'))
      await Promise.all([pool.tail({ path: 'out' }), helper(say)])
      if (runs === 1) throw new Error('once more')
    })
    async function helper(say: (text: string) => Promise<unknown>) {
      for await (const e of pool.read({ path: 'mypool', to: 1 })) await say(`in a loop over ${e.seq}`)
    }
    errorsOf(pool)
    await post(pool, 'begin')
    await until(
      () => runs,
      (n) => n === 2,
    )
    const last = await post(pool, 'the last')
    await until(
      () => pool.tail({ path: 'out', size: 100 }),
      ({ length }) => length >= 16,
    )
    const out = await Array.fromAsync(pool.read({ path: 'out' }))
    const first = out.filter(({ cause }) => cause?.seq === 0)
    expect(first.map(textOf).sort()).toEqual([
      'after an await',
      'and what followed',
      'first',
      'in a loop over 0',
      'in a timer',
      'not awaited',
      'second',
      'third',
    ])
    expect(first.map(textOf).slice(0, 4)).toEqual(['after an await', 'first', 'second', 'third'])
    const { key } = await pool.get({ path: 'mypool', hash: last.hash })
    for (const e of out) expect(e).toMatchObject({ source: 'handler', hops: 1, cause: { key, seq: e.cause!.seq } })
  })

  it('have finished an entry only when all their posts are made, also posts that they do not await', async () => {
    await using pool = await machine()
    await pool.create({ path: 'out', port: false })
    const atSecond = Promise.withResolvers<(string | undefined)[]>()
    pool.on('tx', async (e) => {
      if (e.path === 'mypool' && e.seq === 0)
        void [1, 2, 3, 4, 5].reduce((before, n) => before.then(() => post(pool, `${n}`, 'out')), post(pool, '0', 'out'))
      if (e.path === 'mypool' && e.seq === 1) atSecond.resolve(await textsIn(pool, 'out'))
    })
    await Promise.all([post(pool, 'first'), post(pool, 'second')])
    expect(await atSecond.promise).toEqual(['0', '1', '2', '3', '4', '5'])
  })

  it('get the data of a transaction as text and as bytes, which are not printed', async () => {
    await using pool = await machine()
    const { hash } = await pool.post({ path: 'mypool', payment: dataTransaction('app', Uint8Array.of(1, 2), 'move') })
    const e = await pool.get({ path: 'mypool', hash })
    expect(e.data).toEqual([
      { text: 'app', bytes: Buffer.from('app') },
      { text: '\u0001\u0002', bytes: Buffer.of(1, 2) },
      { text: 'move', bytes: Buffer.from('move') },
    ])
    expect(Object.keys(e)).not.toContain('data')
    e.data = []
    expect(e.data).toEqual([])
  })

  it('may change their event like any object, and print it whole', async () => {
    await using pool = await machine()
    const events: TxEvent[] = []
    pool.on('tx', (e) => {
      const plain = JSON.parse(JSON.stringify(e))
      expect(Object.keys(plain)).toEqual([
        'path',
        'key',
        'kind',
        'hash',
        'seq',
        'id',
        'at',
        'source',
        'hops',
        'status',
        'payment',
        'parsed',
      ])
      expect(structuredClone(e)).toEqual(plain)
      expect({ ...e }).toEqual(plain)
      expect(inspect(e, { depth: 9 })).toBe(inspect(plain, { depth: 9 }))
      Object.assign(e, { hash: 'mine', payment: { transaction: 'mine' }, parsed: { ...e.parsed, _id: 7 }, note: 1 })
      events.push(e)
    })
    await post(pool, 'a')
    await until(
      () => events,
      ({ length }) => length === 1,
    )
    expect(JSON.parse(JSON.stringify(events[0]))).toMatchObject({
      hash: 'mine',
      payment: { transaction: 'mine' },
      parsed: { _id: 7, in: [] },
      note: 1,
    })
  })
})

describe('an Overpool', () => {
  it('finishes the current entry when it is closed, and every later call fails with CLOSED', async () => {
    const dir = newFolder()
    const pool = await machine(dir)
    const running = Promise.withResolvers<void>()
    let ended = false
    pool.on('tx', async () => {
      running.resolve()
      await turn()
      ended = true
    })
    await post(pool, 'a')
    await running.promise
    await Promise.all([pool.close(), pool.close()])
    expect(ended).toBe(true)
    const { calls } = everyCall(pool, 'mypool')
    for (const call of calls) expect(await codeOf(call)).toBe('CLOSED')
    expect(await codeOf(() => pool.on('tx', () => {}))).toBe('CLOSED')
    expect(await codeOf(() => pool.create({ path: 'x', port: false }))).toBe('CLOSED')
    pool.off('tx', () => {}).on('error', () => {})
    await pool.close()
    const never = new Overpool({ dir: newFolder() })
    await never.close()
    expect(await codeOf(() => never.create({ port: false }))).toBe('CLOSED')

    await using again = await machine(dir)
    const { onTx, seqs } = recorder()
    again.on('tx', onTx)
    await post(again, 'b')
    await until(seqs, ({ length }) => length > 0)
    expect(seqs()).toEqual([1])
  })

  it('can be closed by a handler, which runs to its end, and by a timer that a handler set', async () => {
    const dir = newFolder()
    const pool = await machine(dir)
    errorsOf(pool)
    const handled = Promise.withResolvers<string>()
    pool.on('tx', async (e) => {
      await pool.close()
      handled.resolve(`${e.seq}, then ${await codeOf(() => post(pool, 'too late'))}`)
    })
    await Promise.all([post(pool, 'a'), post(pool, 'b')])
    expect(await handled.promise).toBe('0, then CLOSED')
    await pool.close()

    await using other = await machine(dir)
    const closed = Promise.withResolvers<boolean>()
    const { onTx, seqs } = recorder()
    other.on('tx', onTx)
    other.on('tx', () => void setTimeout(() => other.close().then(() => closed.resolve(existsSync(folderLayout(dir).running))), 1), {
      name: 'closer',
    })
    expect(await closed.promise).toBe(false)
    expect(seqs()).toEqual([1])
  })

  it('closes although a handler never returns, and begins with that entry next time', {
    timeout: 60_000,
  }, async () => {
    const dir = newFolder()
    const pool = await machine(dir)
    const running = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const late: Promise<string[]> = new Promise((resolve) => {
      pool.on('tx', async ({ payment }, own) => {
        running.resolve()
        await release.promise
        resolve(await Promise.all([() => own.post({ path: 'mypool', payment }), () => own.tail({ path: 'mypool' })].map(codeOf)))
      })
    })
    await post(pool, 'a')
    await running.promise
    await pool.close()
    await using again = await machine(dir)
    const { onTx, seqs } = recorder()
    again.on('tx', onTx)
    await until(seqs, ({ length }) => length === 1)
    release.resolve()
    expect(await late).toEqual(['CLOSED', 'CLOSED'])
  })

  it('answers a call that names something unknown with an error that lists what exists', async () => {
    await using pool = new Overpool({ dir: newFolder() })
    for (const call of everyCall(pool, 'cofee').calls) expect(await codeOf(call)).toBe('POOL_NOT_FOUND')
    await expect(post(pool, 'x', 'cofee')).rejects.toThrow('this machine has none yet')
    await pool.create({ path: 'coffee', port: false })
    await pool.create({ path: 'tea', port: false })
    await expect(post(pool, 'x', 'cofee')).rejects.toThrow('no pool named "cofee"; this machine has: coffee, tea')
    expect(await codeOf(() => pool.get({ path: 'tea', hash: '00'.repeat(32) }))).toBe('ENTRY_NOT_FOUND')
    expect(await codeOf(() => pool.on('Txs!', () => {}))).toBe('BAD_ARGUMENT')
    expect(() => pool.off('Txs!', () => {})).toThrow('there are tx, status, block, reorg, invoice, *, error, and the names of pools')
  })

  it('locks its folder; a second one names the process that holds it, and works when that process has ended', async () => {
    const dir = newFolder()
    const first = await machine(dir)
    const link = `${dir}-link`
    symlinkSync(dir, link)
    await using second = new Overpool({ dir: link })
    const errors = errorsOf(second)
    const { onTx, seqs } = recorder()
    second.on('tx', onTx)
    await expect(second.create({ path: 'mypool', port: false })).rejects.toMatchObject({
      code: 'FOLDER_IN_USE',
      message: expect.stringContaining(`process ${process.pid}`),
    })
    await until(
      () => errors,
      ({ length }) => length > 0,
    )
    expect(errors[0]!.report).toMatchObject({ kind: 'not-open', error: { code: 'FOLDER_IN_USE' } })
    await post(first, 'a')
    await first.close()
    await second.create({ path: 'mypool', port: false })
    await until(seqs, ({ length }) => length === 1)
    await using nowhere = new Overpool({ dir: join(folderLayout(dir).seed, 'x') })
    await expect(nowhere.create({ port: false })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining('cannot be the folder of a machine'),
    })
  })

  it('works beside another one; what a handler of one posts to the other is a consequence of its entry', async () => {
    await using a = await machine()
    await using b = await machine()
    let runs = 0
    a.on('tx', async () => {
      await post(b, 'from a')
      if (++runs === 1) throw new Error('once more')
    })
    errorsOf(a)
    const { hash } = await post(a, 'begin')
    await until(
      () => runs,
      (n) => n === 2,
    )
    const { key } = await a.get({ path: 'mypool', hash })
    expect(await Array.fromAsync(b.read({ path: 'mypool' }))).toMatchObject([{ source: 'handler', cause: { key, seq: 0 }, hops: 1 }])
  })

  it('that is opened inside of a handler of another makes its own posts, not posts of that handler', async () => {
    await using a = await machine()
    await using b = new Overpool({ dir: newFolder() })
    const url = Promise.withResolvers<string>()
    a.on('tx', async () => {
      const filter: Filter = async ({ transaction }) => void (await b.post({ path: 'seen', payment: transaction }))
      await b.create({ path: 'seen', port: false })
      url.resolve((await b.create({ path: 'mypool', port: 0, filter })).url!)
    })
    await post(a, 'begin')
    expect((await pay(await url.promise, { transaction: sampleTransaction('to b') })).status).toBe(200)
    expect(await Array.fromAsync(b.read({ path: 'seen' }))).toMatchObject([{ source: 'api', hops: 0 }])
  })

  it('refuses a folder with another seed, and leaves nothing running there', async () => {
    const dir = newFolder()
    await (await machine(dir)).close()
    writeFileSync(folderLayout(dir).seed, '11'.repeat(32))
    const output = await outputOf(
      dir,
      `pool.on('error', (error) => writeSync(1, error.message))
       for (let i = 0; i < 2; i++) await pool.create({ path: 'mypool', port: false }).catch((error) => writeSync(1, error.code + ' ' + error.message + '\\n'))`,
    ) // nothing keeps the program from ending
    expect(output).toMatch(/^(BAD_CONFIG the seed in .* is not the one that "mypool" was made with: .*\n){2}$/)
  })

  it('goes on when an error listener throws, and a post of a listener has no cause', async () => {
    await using pool = await machine()
    const { onTx, seqs, events } = recorder()
    pool.on('error', async ({ report }) => void (report.kind === 'post-failed' && (await post(pool, 'a post failed'))))
    pool.on('tx', onTx)
    pool.on('tx', (e) => (e.seq === 0 ? void pool.post({ path: 'none', payment: sampleTransaction('x') }).catch(() => {}) : undefined))
    await post(pool, 'a')
    await until(seqs, ({ length }) => length === 2)
    expect(events[1]).toMatchObject({ source: 'api', hops: 0 })
    expect(textOf(events[1]!)).toBe('a post failed')

    const output = await outputOf(
      newFolder(),
      `process.on('uncaughtException', (error) => writeSync(1, 'uncaught: ' + error.message + '\\n'))
       pool.on('error', () => { throw new Error('the listener fails') })
       pool.on('tx', (e) => {
         writeSync(1, 'called\\n')
         if (!globalThis.second) { globalThis.second = true; throw new Error('once') }
         return pool.close()
       })
       await pool.create({ path: 'mypool', port: false })
       await pool.post({ path: 'mypool', payment: '${sampleTransaction('a')}' })`,
    )
    expect(output).toBe('called\nuncaught: the listener fails\ncalled\n')
  })

  it('of a stack refuses what only its config can set, before it looks for the stack', async () => {
    await using pool = new Overpool({ stack: 'Overpool', region: 'eu-central-1' })
    await expect(pool.create({ path: 'coffee' })).rejects.toMatchObject({
      code: 'DEPLOYED',
      message: 'the pools of a stack are those of its config: add "coffee" to `pools` in overpool.config.ts, then `npx cdk deploy`',
    })
    expect(() => pool.on('tx', () => {})).toThrow(
      'the handlers of a stack are its Lambda functions: write them as files in functions/handlers, and name them in overpool.config.ts, then `npx cdk deploy`',
    )
    expect(await codeOf(() => pool.on('tx', () => {}))).toBe('DEPLOYED')
    for (const options of [
      { stack: '' },
      { stack: 5 },
      { region: 'eu-central-1' },
      { stack: 'x', region: '' },
      { stack: 'x', dir: 'y' },
      { stack: 'x', network: {} },
    ])
      expect(await codeOf(() => new Overpool(options as never))).toBe('BAD_ARGUMENT')
  })

  it('refuses unknown arguments, and names them', async () => {
    await using pool = await machine()
    const { port } = new URL((await pool.create({ path: 'open', port: 0 })).url!)
    const hex = sampleTransaction('x')
    const circle: Record<string, unknown> = {}
    circle.circle = circle
    const strange = {
      undefined,
      null: null,
      0: 0,
      '-1': -1,
      1.5: 1.5,
      NaN: Number.NaN,
      '2**60': 2 ** 60,
      bigint: 10n,
      empty: '',
      'long text': 'x'.repeat(100_000),
    }
    const stranger = {
      true: true,
      symbol: Symbol('s'),
      object: {},
      array: [],
      function: () => {},
      date: new Date(),
      bytes: Buffer.from('00'),
    }
    const calls: [what: string, call: (value: never) => unknown, takes?: string[]][] = [
      ['new Overpool({ dir })', (dir) => new Overpool({ dir }), ['undefined', 'long text']],
      ['create({ path })', (path) => pool.create({ path, port: false }), ['undefined']],
      ['create({ host })', (host) => pool.create({ host, port: 0 }), ['undefined']],
      ['create({ filter })', (filter) => pool.create({ port: false, filter }), ['undefined', 'null', 'function']],
      ['create({ unique })', (unique) => pool.create({ port: false, unique }), ['undefined', 'null']],
      ['create({ timeoutMs })', (timeoutMs) => pool.create({ port: false, timeoutMs }), ['undefined', 'null']],
      ['post(…)', (value) => pool.post(value)],
      ['post({ path })', (path) => pool.post({ path, payment: hex })],
      ['post({ payment })', (payment) => pool.post({ path: 'mypool', payment })],
      ['post({ payment: { transaction } })', (transaction) => pool.post({ path: 'mypool', payment: { transaction } })],
      [
        'post({ payment: { memo } })',
        (memo) => pool.post({ path: 'mypool', payment: { transaction: hex, memo } }),
        ['undefined', 'null', 'empty'],
      ],
      ['post({ id })', (id) => pool.post({ path: 'mypool', payment: hex, id }), ['undefined', 'long text']],
      ['get(…)', (value) => pool.get(value)],
      ['get({ hash })', (hash) => pool.get({ path: 'mypool', hash })],
      ['tail(…)', (value) => pool.tail(value)],
      ['tail({ size })', (size) => pool.tail({ path: 'mypool', size }), ['undefined', '0']],
      ['read(…)', (value) => pool.read(value).next()],
      ['read({ from })', (from) => pool.read({ path: 'mypool', from }).next(), ['undefined', '0']],
      ['read({ to })', (to) => pool.read({ path: 'mypool', to }).next(), ['undefined', '0']],
      ['prune(…)', (value) => pool.prune(value)],
      ['prune(…, { archive })', (archive) => pool.prune('mypool', { archive }), ['undefined', 'true']],
      ["on('tx', …)", (handler) => pool.on('tx', handler), ['function']],
      ["on('tx', …, { name })", (name) => pool.on('tx', () => {}, { name }), ['undefined', 'null']],
      ["on('error', …)", (listener) => pool.on('error', listener), ['function']],
    ]
    for (const [what, call, takes = []] of calls) {
      for (const [name, value] of Object.entries({ ...strange, ...stranger })) {
        if (!takes.includes(name))
          expect([what, name, await codeOf(() => call(value as never))]).toEqual([what, name, expect.stringMatching(/^[A-Z_]+$/)])
      }
    }
    const codes: [string, () => unknown][] = [
      ['BAD_ARGUMENT', () => new Overpool('here' as never)],
      ['BAD_ARGUMENT', () => pool.create(3000 as never)],
      ['BAD_ARGUMENT', () => pool.create({ path: 'Up/Down', port: false })],
      ['BAD_ARGUMENT', () => pool.create({ port: 65_536 })],
      ['BAD_ARGUMENT', () => pool.create({ port: '' })],
      ['BAD_ARGUMENT', () => pool.create({ port: true as never })],
      ['BAD_ARGUMENT', () => pool.create({ port: 0, host: '' })],
      ['BAD_ARGUMENT', () => pool.create({ port: 0, host: 5 as never })],
      ['BAD_ARGUMENT', () => pool.create({ port: 0, host: '203.0.113.1' })],
      ['BAD_CONFIG', () => pool.create({ port: false, filtr: () => false } as never)],
      ['BAD_CONFIG', () => pool.create({ port: false, timeoutMs: 10 ** 12 })],
      ['BAD_CONFIG', () => pool.create({ port: false, batchMs: 10 ** 12 })],
      ['PORT_IN_USE', () => pool.create({ port, host: '0.0.0.0' })],
      ['BAD_PAYMENT', () => pool.post({ path: 'mypool', payment: { transaction: hex, merchantData: circle } })],
      ['BAD_PAYMENT', () => pool.post({ path: 'mypool', payment: { transaction: hex, merchantData: 10n } })],
      ['BAD_PAYMENT', () => pool.post({ path: 'mypool', payment: { transaction: hex, merchantData: () => {} } })],
      ['BAD_PAYMENT', () => pool.post({ path: 'mypool', payment: { memo: 'no transaction' } as never })],
      [
        'BAD_PAYMENT',
        () =>
          pool.post({
            path: 'mypool',
            payment: {
              toHex: () => {
                throw new Error('not signed')
              },
            },
          }),
      ],
      ['BAD_PAYMENT', () => pool.post({ path: 'mypool', payment: { toHex: () => 5 as never } })],
      ['BAD_TRANSACTION', () => pool.post({ path: 'mypool', payment: { transaction: [1, 256] } })],
      ['MALFORMED_PAYMENT', () => pool.post({ path: 'mypool', payment: [] })],
      ['BAD_TRANSACTION', () => pool.post({ path: 'mypool', payment: [1, 1, 1, 1] })],
      ['PAYMENT_TOO_LARGE', () => pool.post({ path: 'mypool', payment: '00'.repeat(5_000_001) })],
      ['BAD_TRANSACTION', () => pool.post({ path: 'mypool', payment: '01000000feffffffff' })],
      ['BAD_ARGUMENT', () => pool.on('tx', () => {}, { name: 'Not A Name' })],
      ['BAD_ARGUMENT', () => pool.on('tx', () => {}, { name: 'twice' }).on('tx', () => {}, { name: 'twice' })],
    ]
    for (const [code, call] of codes) expect([call.toString(), await codeOf(call)]).toEqual([call.toString(), code])
    expect(await textsIn(pool)).toEqual([])
  })
})

/** Every call that names a pool. */
function everyCall(pool: Overpool, path: string) {
  const hash = '00'.repeat(32)
  return {
    calls: [
      () => post(pool, 'x', path),
      () => pool.get({ path, hash }),
      () => pool.tail({ path }),
      () => pool.read({ path }).next(),
      () => pool.prune(path),
    ],
  }
}
