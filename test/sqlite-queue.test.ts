import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SqliteQueue } from '../shared/queue/sqlite.ts'
import { SqliteFile } from '../shared/store/sqlite/file.ts'

/** Longer than the test's time-out: a receiver that is not woken fails the test. */
const LONG_MS = 300_000

describe('a receiver that waits for a message of a SQLite queue', () => {
  let dir: string
  let stores: SqliteFile[]
  const open = (name: string, fifo = false, store = new SqliteFile(join(dir, 'ledger.sqlite'))) => {
    stores.push(store)
    return new SqliteQueue(store, name, { fifo, visibilityMs: LONG_MS })
  }
  const waiting = (queue: SqliteQueue) => queue.receive({ max: 10, waitMs: LONG_MS })
  const texts = async (messages: ReturnType<typeof waiting>) => (await messages).map(({ body }) => Buffer.from(body).toString())

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'overpool-test-'))
    stores = []
  })

  afterEach(() => {
    for (const store of stores) store.close()
    rmSync(dir, { recursive: true })
  })

  it('is woken when a message is sent', async () => {
    const queue = open('a')
    const received = waiting(queue)
    await queue.send([{ body: Buffer.from('sent') }])
    expect(await texts(received)).toEqual(['sent'])
  })

  it('is woken when another process sends a message', async () => {
    const received = waiting(open('a'))
    await open('a').send([{ body: Buffer.from('from elsewhere') }])
    expect(await texts(received)).toEqual(['from elsewhere'])
  })

  it('is woken when a message is put back', async () => {
    const queue = open('a')
    await queue.send([{ body: Buffer.from('again') }])
    const first = await waiting(queue)
    const received = waiting(queue)
    await queue.giveBack(first, 0)
    expect(await texts(received)).toEqual(['again'])
  })

  it('is woken when the message that held back its group is deleted', async () => {
    const queue = open('a', true)
    await queue.send([{ body: Buffer.from('first'), group: 'g' }])
    const first = await waiting(queue)
    await queue.send([{ body: Buffer.from('second'), group: 'g' }])
    const received = waiting(queue)
    await queue.delete(first)
    expect(await texts(received)).toEqual(['second'])
  })

  it('gets its message when another message of the same transaction could not be sent', async () => {
    const store = new SqliteFile(join(dir, 'ledger.sqlite'))
    const queue = open('a', false, store)
    const received = waiting(queue)
    const failed = store.write(() => {
      throw new Error('as it was asked to')
    })
    await Promise.all([queue.send([{ body: Buffer.from('sent') }]), expect(failed).rejects.toMatchObject({ code: 'UNAVAILABLE' })])
    expect(await texts(received)).toEqual(['sent'])
  })
})
