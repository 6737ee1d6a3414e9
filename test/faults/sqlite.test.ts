import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { folderLayout } from '../../local/folder.ts'
import { encodeBlock, entriesOf } from '../../shared/ledger/block.ts'
import type { Message } from '../../shared/queue/port.ts'
import { SqliteQueue } from '../../shared/queue/sqlite.ts'
import { SqliteFile } from '../../shared/store/sqlite/file.ts'
import { sqliteStores } from '../../shared/store/sqlite/index.ts'
import { blockOf, tempLedger } from './ledger.ts'

function tempFile(): { file: string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-sqlite-'))
  return { file: join(dir, 'ledger.sqlite'), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) }
}

it('a restart of the computer, which begins its clock anew, hides no message that waits', async () => {
  using temp = tempFile()
  const store = new SqliteFile(temp.file)
  let now = 100 * 3_600_000
  for (const fifo of [false, true]) {
    const queue = new SqliteQueue(store, `fifo ${fifo}`, { fifo, visibilityMs: 60_000, elapsed: () => now })
    await queue.send([{ body: Buffer.from('one'), group: 'a' }])
    now -= 3_600_000
    expect(await queue.depth()).toEqual({ waiting: 1, inFlight: 0 })
    const [first] = await queue.receive({ max: 1, waitMs: 0 })
    await queue.giveBack([first!], 0)
    now -= 3_600_000
    const [again] = await queue.receive({ max: 1, waitMs: 0 })
    expect(again).toMatchObject({ receives: 2 })
    now -= 3_600_000
    await queue.reclaim()
    expect(await queue.receive({ max: 1, waitMs: 0 })).toMatchObject([{ receives: 3 }])
  }
  store.close()
})

it('a large value is not kept in memory after it was written', async () => {
  using temp = tempFile()
  const store = new SqliteFile(temp.file)
  store.exec('CREATE TABLE large (bytes BLOB)')
  const bytes = Buffer.alloc(100_000_000, 1)
  await store.write(() => store.run('INSERT INTO large VALUES (?)', Buffer.from('small')))
  const before = process.memoryUsage.rss()
  await store.write(() => store.run('INSERT INTO large VALUES (?)', bytes))
  expect(process.memoryUsage.rss() - before).toBeLessThan(bytes.length / 2)
  expect(store.all('SELECT length(bytes) AS length FROM large')).toMatchObject([{ length: 5 }, { length: bytes.length }])
  store.close()
})

it('a write of another process right before a wait for it ends the wait', async () => {
  using temp = tempFile()
  const [ours, theirs] = [new SqliteFile(temp.file), new SqliteFile(temp.file)]
  const queue = new SqliteQueue(theirs, 'ingress', { visibilityMs: 60_000 })
  const waiting = ours.changed('commit', 1)
  await waiting
  ours.all('SELECT * FROM "queue ingress"') // it is still empty
  await queue.send([{ body: Buffer.from('one') }])
  await ours.changed('commit', 3_600_000)
  expect(ours.all('SELECT * FROM "queue ingress"')).toHaveLength(1)
  ours.close()
  theirs.close()
})

it('the end of a redrive does not cancel a later request for one', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.progress.askRedrive('main', 'a', 5)
  await stores.progress.askRedrive('main', 'a', 3)
  expect(await stores.progress.readCursor('main', 'a')).toMatchObject({ redrive: 5 })
  await stores.progress.askRedrive('main', 'a', 8)
  await stores.progress.endRedrive('main', 'a', { redrive: 5 })
  expect(await stores.progress.readCursor('main', 'a')).toMatchObject({ redrive: 8 })
  await stores.progress.writeCursor('main', 'a', { seq: 0, block: 0, attempts: 0 })
  await stores.progress.endRedrive('main', 'a', { redrive: 8 })
  expect(await stores.progress.readCursor('main', 'a')).toEqual({ seq: 0, block: 0, attempts: 0 })
})

it('the tree hash of a pool always belongs to the stored length of its core', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  await stores.control.update('a', { checkpoint: 9, coreLength: 9, treeHash: '09' })
  await stores.control.update('a', { checkpoint: 9, coreLength: 4, treeHash: '04' }) // the core is being rebuilt
  expect(await stores.control.read('a')).toMatchObject({ coreLength: 9, treeHash: '09' })
  await stores.control.update('a', { coreLength: 10, treeHash: '10' })
  expect(await stores.control.read('a')).toMatchObject({ checkpoint: 9, coreLength: 10, treeHash: '10' })
})

describe('a loss of power', () => {
  /** Whether the last commit of this store waited for the disk. */
  const waitedForDisk = (store: SqliteFile) => store.get<{ synchronous: number }>('PRAGMA synchronous')!.synchronous === 2

  it('loses no write that must be durable: each waits for the disk, alone or with others', async () => {
    using temp = tempFile()
    const store = new SqliteFile(temp.file)
    const stores = sqliteStores(store)
    const ingress = new SqliteQueue(store, 'ingress', { visibilityMs: 60_000 })
    const message = { body: Buffer.from('one'), group: 'a' }
    const block = encodeBlock(0, 0, [Buffer.alloc(1)])
    const dead = { seq: 0, block: 0, error: 'x', attempts: 1, at: 0 }
    await stores.control.create({ kind: 'own', path: 'a', key: '00', discoveryKey: '00', createdAt: 0 })
    const writes: Record<string, () => Promise<unknown>> = {
      send: () => ingress.send([message]),
      putBlock: () => stores.blocks.put('a', block),
      putBlocks: () => stores.blocks.putAll('a', [block]),
      updatePool: () => stores.control.update('a', { checkpoint: 1 }),
      askRedrive: () => stores.progress.askRedrive('main', 'a', 1),
      endRedrive: () => stores.progress.endRedrive('main', 'a', { redrive: 1 }),
      setPaused: () => stores.progress.setPaused('main', 'a', { reason: 'a release', at: 1 }),
      putDead: () => stores.progress.putDead('main', 'a', dead),
      deleteDead: () => stores.progress.deleteDead('main', 'a', 0),
    }
    for (const [name, write] of Object.entries(writes)) {
      await stores.progress.writeCursor('main', 'a', { seq: 0, block: 0, attempts: 0 })
      expect(waitedForDisk(store), 'a cursor').toBe(false)
      await write()
      expect(waitedForDisk(store), name).toBe(true)
      await Promise.all([stores.progress.writeCursor('main', 'a', { seq: 0, block: 0, attempts: 0 }), write()])
      expect(waitedForDisk(store), `${name} beside a cursor`).toBe(true)
    }
    store.close()
  })

  it('can lose a write that would be repeated anyway: such a write does not wait', async () => {
    using temp = tempFile()
    const store = new SqliteFile(temp.file)
    const stores = sqliteStores(store)
    const [ingress, bells] = [false, true].map((fifo) => new SqliteQueue(store, `fifo ${fifo}`, { fifo, visibilityMs: 60_000 })) as [
      SqliteQueue,
      SqliteQueue,
    ]
    await stores.control.create({ kind: 'own', path: 'a', key: '00', discoveryKey: '00', createdAt: 0 })
    const messages: Message[] = []
    const writes: Record<string, () => Promise<unknown>> = {
      'a bell': () => bells.send([{ body: Buffer.from('one'), group: 'a' }]),
      'a receive': async () => messages.push(...(await ingress.receive({ max: 1, waitMs: 0 }))),
      'a message given back': () => ingress.giveBack(messages, 0),
      'the end of a message': () => ingress.delete(messages),
      receipts: () => stores.receipts.put('a', []),
    }
    for (const [name, write] of Object.entries(writes)) {
      await ingress.send([{ body: Buffer.from('one') }])
      expect(waitedForDisk(store)).toBe(true)
      await write()
      expect(waitedForDisk(store), name).toBe(false)
    }
    store.close()
  })
})

describe('blocks in the ledger file', () => {
  const texts = Array.from({ length: 50 }, (_, i) => `number ${i}`)

  it('are compressed, and read back unchanged', async () => {
    await using ledger = await tempLedger()
    const { stores } = ledger
    const [large, small] = [blockOf(0, 0, ...texts), blockOf(1, 50, 'alone')]
    await stores.blocks.putAll('a', [large, small])
    expect(bytesIn(ledger, 0).length).toBeLessThan(0.9 * large.bytes.length)
    expect(bytesIn(ledger, 1), 'a small block is not compressed').toEqual(new Uint8Array(small.bytes))
    expect((await stores.blocks.read('a', 0)).map(({ bytes }) => Buffer.from(bytes))).toEqual([large.bytes, small.bytes])
    expect(Buffer.from((await stores.blocks.find('a', 20))!.bytes)).toEqual(large.bytes)
    expect(Buffer.from((await stores.blocks.put('a', blockOf(0, 0, 'another'))).bytes), 'the block that is already there').toEqual(
      large.bytes,
    )
  })

  it('that an earlier version wrote, without checksums and uncompressed, are read, and others follow them', async () => {
    using temp = tempFile()
    const [first, second] = [blockOf(0, 0, ...texts), blockOf(1, texts.length, 'new')]
    const db = new DatabaseSync(temp.file)
    db.exec(
      'CREATE TABLE blocks (pool TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL)',
    )
    db.prepare('INSERT INTO blocks VALUES (?, ?, ?, ?, ?)').run('a', first.n, first.first, first.count, first.bytes)
    db.close()
    const store = new SqliteFile(temp.file)
    const { blocks } = sqliteStores(store)
    await blocks.put('a', second)
    expect((await blocks.read('a', 0)).map(({ bytes }) => Buffer.from(bytes))).toEqual([first.bytes, second.bytes])
    expect((await blocks.inspect('a', 0, 2)).map(({ isChecked }) => isChecked)).toEqual([false, true])
    store.close()
  })

  it('that were passed over keep their bytes, also when these look compressed', async () => {
    await using ledger = await tempLedger()
    const bytes = zstdCompressSync(Buffer.alloc(5_000))
    await ledger.stores.blocks.put('a', { n: 0, first: 0, count: 0, bytes })
    expect(Buffer.from((await ledger.stores.blocks.last('a'))!.bytes)).toEqual(bytes)
  })

  it('that are damaged in any way are not read, and the others are', async () => {
    await using ledger = await tempLedger()
    const { blocks } = ledger.stores
    const [whole, damaged] = [blockOf(0, 0, 'whole'), blockOf(1, 1, ...texts)]
    await blocks.putAll('a', [whole, damaged])
    const bytes = bytesIn(ledger, 1)
    const changes: Record<string, SQLInputValue> = { bytes: bytes.subarray(0, 100), first: 2, count: 49, checksum: 7, pool: 'b', n: 2 }
    for (const [column, value] of Object.entries(changes)) {
      const db = new DatabaseSync(folderLayout(ledger.dir).ledger)
      db.prepare(`UPDATE blocks SET ${column} = ? WHERE pool = 'a' AND n = 1`).run(value)
      const [pool, n] = [column === 'pool' ? 'b' : 'a', column === 'n' ? 2 : 1]
      await expect(blocks.read(pool, n), column).rejects.toMatchObject({ code: 'BLOCK_DAMAGED' })
      db.prepare('DELETE FROM blocks WHERE first > 0').run()
      db.close()
      await blocks.put('a', damaged)
    }
    expect(entriesOf((await blocks.read('a', 0))[0]!)).toHaveLength(1)
  })
})

/** The bytes of block n in the file. */
function bytesIn({ dir }: { dir: string }, n: number): Uint8Array {
  const db = new DatabaseSync(folderLayout(dir).ledger)
  const { bytes } = db.prepare('SELECT bytes FROM blocks WHERE n = ?').get(n) as { bytes: Uint8Array }
  db.close()
  return bytes
}

it('a ledger file from before attempts were counted when they begin opens, and its cursors stay', async () => {
  using temp = tempFile()
  const before = new SqliteFile(temp.file)
  await sqliteStores(before).progress.writeCursor('main', 'a', { seq: 3, block: 1, attempts: 2 })
  before.exec('ALTER TABLE cursors DROP COLUMN begun')
  before.close()
  const after = new SqliteFile(temp.file)
  const { progress } = sqliteStores(after)
  expect(await progress.readCursor('main', 'a')).toEqual({ seq: 3, block: 1, attempts: 2 })
  await progress.writeCursor('main', 'a', { seq: 3, block: 1, attempts: 2, begun: 1 })
  expect(await progress.readCursor('main', 'a')).toEqual({ seq: 3, block: 1, attempts: 2, begun: 1 })
  after.close()
})

it('an older ledger file that two processes open at once gets its new columns once', async () => {
  using temp = tempFile()
  const older = new SqliteFile(temp.file)
  sqliteStores(older)
  older.exec('ALTER TABLE cursors DROP COLUMN begun; ALTER TABLE blocks DROP COLUMN checksum')
  older.close()
  const [one, other] = [new SqliteFile(temp.file), new SqliteFile(temp.file)]
  const { all } = one
  let isFirst = true
  // The other process is as fast as it can be: it adds the columns as soon as this one has seen that the first is missing.
  one.all = (sql, ...values) => {
    const rows = all.call(one, sql, ...values)
    if (sql.startsWith('PRAGMA table_info(blocks)') && isFirst) {
      isFirst = false
      sqliteStores(other)
    }
    return rows as never
  }
  const { blocks } = sqliteStores(one)
  const block = blockOf(0, 0, 'one')
  await blocks.put('a', block)
  expect((await sqliteStores(other).blocks.inspect('a', 0, 1))[0]).toMatchObject({ isChecked: true })
  for (const each of [one, other]) each.close()
})
