import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Message, Queue } from '../../shared/queue/port.ts'
import { until } from '../machine/machine.ts'
import { SIDES, type Side } from './sides.ts'

/** Longer than any test here. */
const LONG_MS = 300_000

// The tests run at once, since they mostly wait. A slow machine fails none of them: visibility timeouts are far longer than a test, or the test waits for their end.
describe.concurrent.each(SIDES)('a queue on %s', (_, make) => {
  let side: Side
  let queues = 0
  beforeAll(async () => {
    side = await make()
  })
  afterAll(() => side?.close())

  /** A queue of the test's own, opened twice, as by two processes. */
  async function fresh(options: { fifo?: boolean; visibilityMs?: number } = {}): Promise<[Queue, Queue]> {
    const name = `queue-${queues++}`
    const all = { visibilityMs: LONG_MS, ...options }
    return [await side.queue(name, all), await side.queue(name, all)]
  }

  describe('of either kind', () => {
    describe.each([false, true])('(fifo: %s)', (fifo) => {
      const group = fifo ? { group: 'g' } : {}

      it.each([
        ['text', Buffer.from('hello')],
        ['no bytes', new Uint8Array(0)],
        ['every value of a byte', Uint8Array.from({ length: 256 }, (_, i) => i)],
        ['a part of a larger buffer', new Uint8Array(100).fill(7).subarray(10, 20)],
      ])('carries %s unchanged', async (_, body) => {
        const [queue, other] = await fresh({ fifo })
        expect(queue.fifo).toBe(fifo)
        await queue.send([{ body, ...group }])
        const [message] = await other.receive({ max: 10, waitMs: 5_000 })
        expect(bytesOf(message!.body)).toBe(bytesOf(body))
        expect(message).toMatchObject({ receives: 1, ...group })
        await other.delete([message!])
      })

      it('can be checked, which sends nothing', async () => {
        const [queue, other] = await fresh({ fifo })
        await queue.check()
        expect(await other.depth()).toEqual({ waiting: 0, inFlight: 0 })
        await queue.send([{ body: Buffer.from('a'), ...group }])
        await other.check()
        expect((await other.receive({ max: 10, waitMs: 5_000 })).map(({ body }) => bytesOf(body))).toEqual([bytesOf(Buffer.from('a'))])
      })

      it('delivers a message again when its visibility timeout ends, and not before', async () => {
        const [queue, other] = await fresh({ fifo, visibilityMs: 1_000 })
        await queue.send([{ body: Buffer.from('a'), ...group }])
        const before = performance.now()
        const [first] = await queue.receive({ max: 10, waitMs: 5_000 })
        const [second] = await other.receive({ max: 10, waitMs: 20_000 })
        expect(performance.now() - before).toBeGreaterThan(950)
        expect(second).toMatchObject({ receives: 2, body: first!.body })
        await other.delete([second!])
        expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 0 })
      })

      it('ignores the handle of a receive whose visibility timeout has ended', async () => {
        const [queue, other] = await fresh({ fifo })
        await queue.send([{ body: Buffer.from('a'), ...group }])
        const first = await queue.receive({ max: 10, waitMs: 5_000 })
        await queue.giveBack(first, 0)
        const second = await other.receive({ max: 10, waitMs: 5_000 })
        expect(second[0]!.handle).not.toBe(first[0]!.handle)
        await queue.delete(first)
        await queue.giveBack(first, 0)
        expect(await queue.receive({ max: 10, waitMs: 0 })).toEqual([])
        expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 1 })
        await other.giveBack(second, 0)
        expect(await queue.receive({ max: 10, waitMs: 5_000 })).toMatchObject([{ receives: 3 }])
      })

      it('does not deliver a deleted message again', async () => {
        const [queue, other] = await fresh({ fifo, visibilityMs: 1_000 })
        await queue.send([{ body: Buffer.from('a'), ...group }])
        await queue.delete(await queue.receive({ max: 10, waitMs: 5_000 }))
        expect(await other.receive({ max: 10, waitMs: 2_000 })).toEqual([])
        expect(await other.depth()).toEqual({ waiting: 0, inFlight: 0 })
      })

      it('delivers a message that was put back again at once, or after a delay', async () => {
        const [queue, other] = await fresh({ fifo })
        await queue.send([{ body: Buffer.from('a'), ...group }])
        await queue.giveBack(await queue.receive({ max: 10, waitMs: 5_000 }), 0)
        const again = await other.receive({ max: 10, waitMs: 5_000 })
        expect(again).toMatchObject([{ receives: 2 }])
        const before = performance.now()
        await other.giveBack(again, 1_000)
        expect(await queue.receive({ max: 10, waitMs: 20_000 })).toMatchObject([{ receives: 3 }])
        expect(performance.now() - before).toBeGreaterThan(950)
      })

      it('waits for a first message, and no longer than the receive says', async () => {
        const [queue, other] = await fresh({ fifo })
        expect(await queue.receive({ max: 10, waitMs: 0 })).toEqual([])
        const before = performance.now()
        expect(await queue.receive({ max: 10, waitMs: 1_000 })).toEqual([])
        expect(performance.now() - before).toBeGreaterThan(950)
        const waiting = queue.receive({ max: 10, waitMs: 20_000 })
        await other.send([{ body: Buffer.from('a'), ...group }])
        expect(await waiting).toHaveLength(1)
      })

      it('ends a wait when the receive is aborted, and loses no message', async () => {
        const [queue, other] = await fresh({ fifo, visibilityMs: 1_000 })
        for (const sends of [false, true, true, true]) {
          const stop = new AbortController()
          const waiting = queue.receive({ max: 10, waitMs: 20_000, signal: stop.signal })
          if (sends) await other.send([{ body: Buffer.from('a'), ...group }])
          const began = performance.now()
          stop.abort()
          const got = await waiting
          expect(performance.now() - began).toBeLessThan(15_000)
          if (sends) await queue.delete(got.length ? got : await queue.receive({ max: 10, waitMs: 10_000 }))
          else expect(got).toEqual([])
          expect(await other.depth()).toEqual({ waiting: 0, inFlight: 0 })
        }
        expect(await queue.receive({ max: 10, waitMs: 0, signal: AbortSignal.abort() })).toEqual([])
      })

      it('receives and deletes many messages at once, and delivers each once', async () => {
        const [queue, other] = await fresh({ fifo })
        const groups = (i: number) => (fifo ? { group: `g${i}` } : {})
        const bodies = Array.from({ length: 45 }, (_, i) => Buffer.from(`message ${i}`))
        await queue.send(bodies.map((body, i) => ({ body, ...groups(i) })))
        expect((await other.receive({ max: 3, waitMs: 5_000 })).length).toBeLessThanOrEqual(3)
        const got = await drain(other, 42)
        expect(await other.depth()).toEqual({ waiting: 0, inFlight: 3 })
        expect(new Set(got.map(({ body }) => bytesOf(body))).size).toBe(42)
        await queue.send([])
        await queue.delete([])
        await queue.giveBack([], 0)
      })

      it('counts the messages that wait and those that are in flight', async () => {
        const [queue, other] = await fresh({ fifo })
        expect(await other.depth()).toEqual({ waiting: 0, inFlight: 0 })
        await queue.send([1, 2, 3].map((i) => ({ body: Buffer.of(i), ...(fifo && { group: `g${i}` }) })))
        expect(await other.depth()).toEqual({ waiting: 3, inFlight: 0 })
        const [message] = await queue.receive({ max: 1, waitMs: 5_000 })
        expect(await other.depth()).toEqual({ waiting: 2, inFlight: 1 })
        await queue.delete([message!])
        expect(await other.depth()).toEqual({ waiting: 2, inFlight: 0 })
      })

      it('carries messages over a megabyte, and many that have a megabyte together', async () => {
        const [queue, other] = await fresh({ fifo })
        const sizes = [786_432, 786_433, 1_500_000, 5_000_000, ...new Array<number>(12).fill(300_000), 10]
        const bodies = sizes.map((size) => randomBytes(size))
        await queue.send(bodies.map((body, i) => ({ body, ...(fifo && { group: `g${i}` }) })))
        const got = await drain(other, bodies.length)
        expect(got.map(({ body }) => bytesOf(body)).sort()).toEqual(bodies.map(bytesOf).sort())
      })
    })
  })

  describe('of the FIFO kind', () => {
    it('keeps the order of each group', async () => {
      const [queue, other] = await fresh({ fifo: true })
      const sent = Array.from({ length: 40 }, (_, i) => ({ body: Buffer.from(`${i}`), group: `g${i % 3}` }))
      await queue.send(sent.slice(0, 25))
      for (const message of sent.slice(25)) await queue.send([message])
      const got = await drain(other, 40)
      for (const group of ['g0', 'g1', 'g2']) {
        const numbers = got.filter((message) => message.group === group).map(({ body }) => Number(Buffer.from(body).toString()))
        expect(numbers).toEqual(sent.flatMap((message, i) => (message.group === group ? [i] : [])))
      }
    })

    it('delivers no message of a group while an earlier one is in flight, and goes on with other groups', async () => {
      const [queue, other] = await fresh({ fifo: true })
      await queue.send(['a1', 'a2', 'a3'].map((name) => ({ body: Buffer.from(name), group: 'a' })))
      const inFlight = await queue.receive({ max: 1, waitMs: 5_000 })
      expect(names(inFlight)).toEqual(['a1'])
      await queue.send([{ body: Buffer.from('b1'), group: 'b' }])
      const others = await other.receive({ max: 10, waitMs: 5_000 })
      expect(names(others)).toEqual(['b1'])
      expect(await other.receive({ max: 10, waitMs: 0 })).toEqual([])
      await queue.delete(inFlight)
      expect(names(await drain(other, 2))).toEqual(['a2', 'a3'])
    })

    it('delivers a message that was put back before those behind it', async () => {
      const [queue, other] = await fresh({ fifo: true })
      await queue.send(['a1', 'a2', 'a3'].map((name) => ({ body: Buffer.from(name), group: 'a' })))
      for (let i = 0; i < 3; i++) {
        const got = await queue.receive({ max: 1, waitMs: 5_000 })
        expect(names(got)).toEqual(['a1'])
        await queue.giveBack(got, i === 2 ? 1_000 : 0)
      }
      expect(names(await drain(other, 3))).toEqual(['a1', 'a2', 'a3'])
    })

    it('delivers a message whose visibility timeout has ended before those behind it', async () => {
      const [queue, other] = await fresh({ fifo: true, visibilityMs: 1_000 })
      await queue.send(['a1', 'a2'].map((name) => ({ body: Buffer.from(name), group: 'a' })))
      expect(names(await queue.receive({ max: 1, waitMs: 5_000 }))).toEqual(['a1'])
      expect(names(await drain(other, 2))).toEqual(['a1', 'a2'])
    })

    it('drops a second message with the same id, also when the first has been deleted', async () => {
      const [queue, other] = await fresh({ fifo: true })
      const twice = { body: Buffer.from('once'), group: 'a', dedupe: 'a:7' }
      await queue.send([twice, twice])
      await other.send([{ ...twice, body: Buffer.from('another body') }])
      await other.send([{ ...twice, dedupe: 'a:8', body: Buffer.from('the next') }])
      expect(names(await drain(queue, 2))).toEqual(['once', 'the next'])
      await queue.send([twice])
      expect(await queue.receive({ max: 10, waitMs: 0 })).toEqual([])
      expect(await other.depth()).toEqual({ waiting: 0, inFlight: 0 })
    })

    it('delivers equal messages without an id separately', async () => {
      const [queue, other] = await fresh({ fifo: true })
      await queue.send([1, 2, 3].map(() => ({ body: Buffer.from('the same'), group: 'a' })))
      expect(await drain(other, 3)).toHaveLength(3)
      expect(await other.depth()).toEqual({ waiting: 0, inFlight: 0 })
    })
  })
})

/** Receives and deletes messages until `count` have come and the queue is empty; in the order of their arrival. */
async function drain(queue: Queue, count: number): Promise<Message[]> {
  const got: Message[] = []
  await until(
    async () => {
      const messages = await queue.receive({ max: 256, waitMs: 1_000 })
      got.push(...messages)
      await queue.delete(messages)
      return got.length
    },
    (length) => length >= count,
    60_000,
  )
  expect(await queue.receive({ max: 256, waitMs: 0 })).toEqual([])
  expect(got).toHaveLength(count)
  return got
}

function names(messages: Message[]): string[] {
  return messages.map(({ body }) => Buffer.from(body).toString())
}

function bytesOf(body: Uint8Array): string {
  return Buffer.from(body).toString('base64')
}
