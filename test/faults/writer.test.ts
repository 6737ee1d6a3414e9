import { join } from 'node:path'
import { expect, it } from 'vitest'
import { systemClock } from '../../shared/clock.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import { encodeIngress } from '../../shared/ledger/messages.ts'
import type { Message } from '../../shared/queue/port.ts'
import { SqliteQueue } from '../../shared/queue/sqlite.ts'
import { SqliteFile } from '../../shared/store/sqlite/file.ts'
import { type PoolCore, poolKeys } from '../../sidecar/cores/core.ts'
import type { SidecarReport } from '../../sidecar/report.ts'
import { IngressConsumer } from '../../sidecar/writer/ingress-consumer.ts'
import { PoolWriter } from '../../sidecar/writer/writer.ts'
import { until } from '../machine/machine.ts'
import { blockOf, type Ledger, postOf, tempLedger } from './ledger.ts'

/** The core of pool `a`. */
async function coreOf(ledger: Ledger): Promise<PoolCore> {
  return ledger.cores.open('a')
}

function optionsOf(ledger: Ledger, core: PoolCore, reports: SidecarReport[] = []) {
  const { stores, ingress } = ledger
  return {
    path: 'a',
    stores,
    ingress,
    core,
    ringers: () => [],
    clock: systemClock,
    report: (report: SidecarReport) => void reports.push(report),
  }
}

it('a pool whose core disagrees with the mirror is halted, and nothing is appended to the core', async () => {
  await using ledger = await tempLedger()
  for (let n = 0; n < 3; n++) await ledger.stores.blocks.put('a', blockOf(n, n, `entry ${n}`))
  await ledger.stores.control.update('a', { checkpoint: 3 })
  const core = await coreOf(ledger)
  await core.append(0, [blockOf(0, 0, 'something else').bytes])

  const reports: SidecarReport[] = []
  const writer = await PoolWriter.open(optionsOf(ledger, core, reports))
  expect(writer.halted).toMatchObject({ code: 'POOL_HALTED' })
  await writer.stop()
  expect(core.length).toBe(1)
  expect((await ledger.stores.control.read('a'))!.halted).toContain('block 0')
  expect(reports.map(({ kind }) => kind)).toEqual(['halted'])
})

it('a pool whose core lacks its newest block is halted, and does not wait for a peer to send it', async () => {
  await using ledger = await tempLedger()
  await ledger.stores.blocks.put('a', blockOf(0, 0, 'entry'))
  const core = await coreOf(ledger)
  await core.append(0, [blockOf(0, 0, 'entry').bytes])
  const holed: PoolCore = { ...core, length: 1, has: async () => false, get: () => new Promise(() => {}) }
  const writer = await PoolWriter.open(optionsOf(ledger, holed))
  expect(writer.halted?.message).toContain('has been lost: run `overpool resume a`')
  await writer.stop()
  await core.close()
})

it('a core that reports a fork or a truncation halts its pool, also after restarts', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress, cores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'entry'))
  let alarm: ((what: string) => void) | undefined
  const open = () =>
    IngressConsumer.start({
      stores,
      ingress,
      cores: {
        open(path, events) {
          alarm = events?.alarm
          return cores.open(path)
        },
        purge: (path) => cores.purge(path),
      },
      clock: systemClock,
      ringers: () => [],
      report: () => {},
    })
  const first = open()
  const writer = await first.writer('a')
  expect(writer.halted).toBeUndefined()
  alarm!('conflict')
  await until(
    () => stores.control.read('a'),
    (pool) => pool!.halted !== undefined,
  )
  await first.stop()
  const second = open()
  expect((await second.writer('a')).halted).toMatchObject({ code: 'POOL_HALTED' })
  await second.stop()
})

it('the posts of a halted pool are given back together, and delay no other pool', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress, cores } = ledger
  const { key, discoveryKey } = poolKeys(new Uint8Array(32).fill(7), 'b')
  await stores.control.create({ kind: 'own', path: 'b', key, discoveryKey, createdAt: 0 })
  await stores.control.update('a', { halted: 'by the test' })
  const given: number[] = []
  const slow = new Proxy(ingress, {
    get(_, name) {
      if (name === 'giveBack')
        return (messages: Message[]) => {
          given.push(messages.length)
          return new Promise(() => {}) // for ever
        }
      const method = Reflect.get(ingress, name)
      return typeof method === 'function' ? method.bind(ingress) : method
    },
  })
  const consumer = IngressConsumer.start({ stores, ingress: slow, cores, clock: systemClock, ringers: () => [], report: () => {} })
  await consumer.writer('a')
  await consumer.writer('b')
  const posts = Array.from({ length: 100 }, (_, i) => postOf(`post ${i}`, 'a'))
  await ingress.send([...posts, postOf('other', 'b')].map((post) => ({ body: encodeIngress(post) })))
  await until(
    () => stores.blocks.last('b'),
    (block) => block !== undefined,
  )
  expect(given).toEqual([100])
})

it("a writer stops when it is told to, also while a handler's queue is unreachable", async () => {
  await using ledger = await tempLedger()
  for (let n = 0; n < 40; n++) await ledger.stores.blocks.put('a', blockOf(n, n, `entry ${n}`))
  const away = new SqliteFile(join(ledger.dir, 'away.sqlite'))
  const queue = new SqliteQueue(away, 'bells', { fifo: true, visibilityMs: 1_000 })
  away.close()
  const reports: SidecarReport[] = []
  const stopping = new AbortController()
  const opening = PoolWriter.open({
    ...optionsOf(ledger, await coreOf(ledger), reports),
    ringers: () => [{ handler: 'main', queue, carryBytes: 0 }],
    stopping: stopping.signal,
  })
  await until(
    () => reports,
    (all) => all.some((report) => report.kind === 'retrying' && report.step === 'bell'),
  )
  stopping.abort()
  await (await opening).stop()
  expect((await ledger.stores.control.read('a'))!.checkpoint).toBe(0)
})

it('a pool that gets only repeated posts still looks for the blocks of another writer', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress, cores } = ledger
  const old = { body: encodeIngress(postOf('old')) }
  await ingress.send([old])
  const consumer = IngressConsumer.start({ stores, ingress, cores, clock: systemClock, ringers: () => [], report: () => {}, sweepMs: 500 })
  await until(
    () => stores.blocks.last('a'),
    (block) => block !== undefined,
  )
  await stores.blocks.put('a', blockOf(1, 1, "the other's"))
  await until(
    async () => {
      await ingress.send([old])
      return stores.receipts.ofTransaction('a', postOf("the other's").txid)
    },
    (receipts) => receipts.length === 1,
  )
  await consumer.stop()
})

it('a message that cannot be given back delays no other message of its batch', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress, cores } = ledger
  const keeps = new Proxy(ingress, {
    get(queue, name) {
      if (name === 'giveBack') return () => Promise.reject(new Error('not now'))
      const method = Reflect.get(queue, name)
      return typeof method === 'function' ? method.bind(queue) : method
    },
  })
  await ingress.send(['nowhere', 'a'].map((pool) => ({ body: encodeIngress(postOf('payment', pool)) })))
  const consumer = IngressConsumer.start({ stores, ingress: keeps, cores, clock: systemClock, ringers: () => [], report: () => {} })
  await until(
    () => stores.blocks.last('a'),
    (block) => block?.count === 1,
  )
  await consumer.stop()
  const left: Message[] = await ingress.receive({ max: 10, waitMs: 0 })
  expect(left).toEqual([]) // the message for `nowhere` is still in flight
})

it('a waiting post for a pool that now belongs to another shard is written once, and its writer closes when it has no more work', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress, cores } = ledger
  const { key, discoveryKey } = poolKeys(new Uint8Array(32).fill(7), 'ours')
  await stores.control.create({ kind: 'own', path: 'ours', key, discoveryKey, createdAt: 0 })
  let ahead = 0
  const opened: PoolCore[] = []
  const open: typeof cores.open = async (...args) => {
    const core = await cores.open(...args)
    if (args[0] === 'a') opened.push(core)
    return core
  }
  const consumer = IngressConsumer.start({
    stores,
    ingress,
    cores: { open, purge: cores.purge.bind(cores) },
    clock: { ...systemClock, elapsed: () => systemClock.elapsed() + ahead },
    ringers: () => [],
    report: () => {},
    owns: (pool) => pool === 'ours',
  })
  const isClosed = (core: PoolCore) =>
    core.get(0).then(
      () => false,
      () => true,
    )
  for (let n = 0; n < 3; n++) {
    await ingress.send([postOf(`post ${n}`), postOf('the same')].map((post) => ({ body: encodeIngress(post) })))
    await until(
      () => stores.receipts.ofTransaction('a', postOf(`post ${n}`).txid),
      (receipts) => receipts.length === 1,
    )
    await stores.blocks.put('a', blockOf((await stores.blocks.last('a'))!.n + 1, 2 + 2 * n, `by its own consumer ${n}`))
    ahead += 10_000
    await until(
      async () => {
        await ingress.send([{ body: encodeIngress(postOf('other', 'ours')) }]) // a message makes the consumer look for idle writers
        return isClosed(opened[n]!)
      },
      (closed) => closed,
    )
  }
  await consumer.stop()
  expect(opened).toHaveLength(3)
  const blocks = await stores.blocks.read('a', 0)
  expect(blocks.map(({ n }) => n)).toEqual(blocks.map((_, n) => n))
  const ids = blocks.flatMap((block) => entriesOf(block).map(({ id }) => id))
  const posted = ['post 0', 'the same', 'by its own consumer 0', 'post 1', 'by its own consumer 1', 'post 2', 'by its own consumer 2']
  expect(ids.sort()).toEqual(posted.map((text) => postOf(text).id).sort())
})

it('a waiting post for a pool of another shard is written, however long the pool takes to open', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress, cores } = ledger
  const { key, discoveryKey } = poolKeys(new Uint8Array(32).fill(7), 'ours')
  await stores.control.create({ kind: 'own', path: 'ours', key, discoveryKey, createdAt: 0 })
  await stores.blocks.put('a', blockOf(0, 0, 'there before'))
  await stores.control.update('a', { checkpoint: 1 })
  const bells = new SqliteFile(join(ledger.dir, 'bells.sqlite'))
  const queue = new SqliteQueue(bells, 'bells', { fifo: true, visibilityMs: 1_000 })
  const asked = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<void>()
  const progress = new Proxy(stores.progress, {
    get(target, name) {
      const method = Reflect.get(target, name)
      if (name !== 'readCursor') return method.bind(target)
      return async (handler: string, pool: string) => {
        asked.resolve() // the last step of opening the pool
        await answered.promise
        return target.readCursor(handler, pool)
      }
    },
  })
  let ahead = 0
  const consumer = IngressConsumer.start({
    stores: { ...stores, progress },
    ingress,
    cores,
    clock: { ...systemClock, elapsed: () => systemClock.elapsed() + ahead },
    ringers: ({ path }) => (path === 'a' ? [{ handler: 'main', queue, carryBytes: 0 }] : []),
    report: () => {},
    owns: (pool) => pool === 'ours',
  })
  await ingress.send([{ body: encodeIngress(postOf('waits')) }])
  await asked.promise
  ahead += 10_000
  await ingress.send([{ body: encodeIngress(postOf('other', 'ours')) }])
  await until(
    () => stores.blocks.last('ours'),
    (block) => block !== undefined,
  )
  answered.resolve()
  expect(
    (await until(
      () => stores.blocks.last('a'),
      (block) => block!.n > 0,
    ))!.count,
  ).toBe(1)
  await consumer.stop()
  bells.close()
})

it('leaves a hypercore marked for a rebuild to the consumer of its own shard', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress, cores } = ledger
  await stores.blocks.put('a', blockOf(0, 0, 'there before'))
  await stores.control.update('a', { rebuild: true })
  const reports: SidecarReport[] = []
  const report = (said: SidecarReport) => void reports.push(said)
  const consumer = IngressConsumer.start({ stores, ingress, cores, clock: systemClock, ringers: () => [], report, owns: () => false })
  await ingress.send([{ body: encodeIngress(postOf('waits')) }])
  await until(
    () => reports,
    (all) => all.some((said) => said.kind === 'retrying' && said.step === 'open'),
  )
  expect((await stores.control.read('a'))!.rebuild).toBe(true)
  await stores.control.beginAnew('a', await stores.blocks.last('a')) // as the consumer of its shard does
  await until(
    () => stores.blocks.last('a'),
    (block) => block?.n === 1,
  )
  await consumer.stop()
})
