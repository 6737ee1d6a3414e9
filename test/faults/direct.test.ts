import { expect, it } from 'vitest'
import { systemClock } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import { encodeIngress } from '../../shared/ledger/messages.ts'
import type { Outgoing } from '../../shared/queue/port.ts'
import type { Blocks } from '../../shared/store/blocks.ts'
import { DirectIngress } from '../../sidecar/writer/direct-ingress.ts'
import { IngressConsumer } from '../../sidecar/writer/ingress-consumer.ts'
import { until } from '../machine/machine.ts'
import { type Ledger, postOf, tempLedger } from './ledger.ts'

/** A consumer and its intake for posts of the same process, over this ledger, and a list of the posts that went to the queue instead. */
function directOf(ledger: Ledger, put: Blocks['put'] = (...block) => ledger.stores.blocks.put(...block), batchMs?: number) {
  const { stores, ingress, cores } = ledger
  const { blocks: all } = stores
  const blocks: Blocks = {
    put,
    putAll: (...some) => all.putAll(...some),
    read: (...from) => all.read(...from),
    last: (pool) => all.last(pool),
    find: (...entry) => all.find(...entry),
    damaged: (...block) => all.damaged(...block),
    inspect: (...from) => all.inspect(...from),
    replace: (...block) => all.replace(...block),
    lose: (...block) => all.lose(...block),
  }
  const sent: Outgoing[] = []
  const consumer = IngressConsumer.start({
    stores: { ...stores, blocks },
    ingress,
    cores,
    clock: systemClock,
    ringers: () => [],
    report: () => {},
    batchMs: () => batchMs,
  })
  const queue = {
    send: (messages: Outgoing[]) => {
      sent.push(...messages)
      return ingress.send(messages)
    },
    depth: () => ingress.depth(),
    check: () => ingress.check(),
  }
  return { consumer, sent, direct: new DirectIngress({ queue, consumer }) }
}

async function idsIn({ stores }: Ledger): Promise<string[]> {
  return (await stores.blocks.read('a', 0)).flatMap((block) => entriesOf(block).map(({ id }) => id))
}

it('a post of this process is acknowledged when its block is in the mirror, and does not pass through the queue', async () => {
  await using ledger = await tempLedger()
  const { consumer, direct, sent } = directOf(ledger)
  await consumer.writer('a')
  const posts = ['one', 'two', 'three'].map((text) => postOf(text))
  await Promise.all(posts.map((post) => direct.post(post)))
  expect(await idsIn(ledger)).toEqual(posts.map(({ id }) => id))
  expect((await ledger.stores.blocks.last('a'))!.n, 'one block, since they came together').toBe(0)
  expect(sent).toEqual([])
  await consumer.stop()
})

it('a post that is already in progress or in the ledger, by either way, stays one entry, and each poster gets the answer', async () => {
  await using ledger = await tempLedger()
  const { consumer, direct } = directOf(ledger)
  await consumer.writer('a')
  const post = postOf('one')
  await ledger.ingress.send([{ body: encodeIngress(post), group: 'a' }])
  await Promise.all([direct.post(post), direct.post(post)])
  await direct.post(post)
  await until(
    () => direct.depth(),
    ({ waiting, inFlight }) => waiting + inFlight === 0,
  )
  expect(await idsIn(ledger)).toEqual([post.id])
  await consumer.stop()
})

it('a post whose block cannot be put goes into the queue, and from there into the ledger, once and before later posts', async () => {
  await using ledger = await tempLedger()
  let failures = 2
  const { consumer, direct, sent } = directOf(ledger, (pool, block) =>
    failures-- > 0 ? Promise.reject(new Error('the disk is full')) : ledger.stores.blocks.put(pool, block),
  )
  await consumer.writer('a')
  const [first, second] = [postOf('one'), postOf('two')]
  await direct.post(first)
  expect(sent).toHaveLength(1)
  await direct.post(second)
  await until(
    () => idsIn(ledger),
    (ids) => ids.length === 2,
  )
  expect(await idsIn(ledger)).toEqual([first.id, second.id])
  await consumer.stop()
})

it('posts that a writer holds when its pool is halted or the writer is stopped are acknowledged when they are in the queue', async () => {
  for (const end of ['halt', 'stop'] as const) {
    await using ledger = await tempLedger()
    const putting = Promise.withResolvers<void>()
    const { consumer, direct, sent } = directOf(ledger, () => {
      putting.resolve()
      return new Promise((_, reject) => setImmediate(() => reject(new Error('it does not work'))))
    })
    const writer = await consumer.writer('a')
    const posted = direct.post(postOf('one'))
    await putting.promise
    if (end === 'halt') writer.halt(new OverpoolError('POOL_HALTED', 'by the test'))
    const stopped = consumer.stop()
    await posted
    expect(sent).toHaveLength(1)
    await stopped
    expect(await idsIn(ledger)).toEqual([])
  }
})

it('a pool that waits for fuller blocks, a pool that is not open, and a stopping consumer take posts through the queue', async () => {
  await using ledger = await tempLedger()
  const patient = directOf(ledger, undefined, 10_000)
  await patient.consumer.writer('a')
  await patient.direct.post(postOf('waits for a fuller block'))
  expect(patient.sent).toHaveLength(1)
  await patient.consumer.stop()

  const { consumer, direct, sent } = directOf(ledger)
  await direct.post(postOf('comes before the pool is open'))
  expect(sent).toHaveLength(1)
  await until(
    () => idsIn(ledger),
    (ids) => ids.length === 2,
  )
  await direct.post(postOf('comes when it is'))
  expect(sent).toHaveLength(1)
  await consumer.stop()
  await direct.post(postOf('comes when it has stopped'))
  expect(sent).toHaveLength(2)
  expect(await idsIn(ledger)).toHaveLength(3)
})

it('a pool whose settings this process does not know yet is written with those that it had', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.control.update('a', { settings: { batchMs: 1 } })
  const { consumer, direct, sent } = directOf(ledger)
  await consumer.writer('a')
  await direct.post(postOf('one'))
  expect(sent, 'a pool with batchMs takes no direct post').toHaveLength(1)
  await consumer.stop()
})
