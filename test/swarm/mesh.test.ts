import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { TxEvent } from '../../shared/ledger/event.ts'
import type { Wish } from '../machine/handler.ts'
import { payment, TestMachine, until } from '../machine/machine.ts'
import { random, seed } from '../random.ts'
import { Peers } from './peers.ts'

const ROUNDS = Number(process.env.OVERPOOL_MESH_ROUNDS ?? 3)
/** Each machine has one pool, which bears its name, and subscribes to the pools of the others. */
const NAMES = ['alice', 'bob', 'carol'] as const
type Name = (typeof NAMES)[number]
/** The steps of a loop. Each goes into the pool of a machine that is chosen at the loop's begin. */
const STEPS = 5

const below = (count: number) => Math.floor(random() * count)
const oneOf = <T>(from: readonly T[]): T => from[below(from.length)]!

it(`three machines that subscribe to one another miss nothing and write nothing twice through ${ROUNDS} rounds of kill -9`, {
  timeout: ROUNDS * 20_000 + 240_000,
}, async () => {
  console.log(`${ROUNDS} rounds of kill -9, seed ${seed}`)
  await using peers = await Peers.start()
  await using machines = new Mesh(peers)
  await machines.start()
  const acknowledged = new Map<string, Name>()
  const loops: { text: string; pools: Name[] }[] = []
  let posted = 0
  let kills = 0

  for (let round = 0; round < ROUNDS; round++) {
    let isOver = false
    const wallets = NAMES.map(async (name) => {
      while (!isOver) {
        const text = `payment ${posted++}`
        const pools = Array.from({ length: STEPS }, () => oneOf(NAMES))
        const isLoop = random() < 0.1
        const sent = payment(text, isLoop ? { relay: { pools, text } } : undefined)
        const ack = await machines
          .of(name)
          .post(name, sent)
          .catch(() => undefined) // the machine is down at this moment
        if (ack?.status === 200) {
          acknowledged.set(sent.transaction, name)
          if (isLoop) loops.push({ text, pools })
        }
        await wait(ack ? below(20) : 20)
      }
    })
    await wait(random() * 300)
    for (const name of NAMES.filter(() => random() < 0.5)) {
      await machines.of(name).kill()
      kills++
      await wait(random() * 200)
      if (random() < 0.2) rmSync(join(machines.of(name).dir, 'cores'), { recursive: true, force: true })
      await machines.of(name).start()
    }
    isOver = true
    await Promise.all(wallets)
  }

  await machines.atRest(loops.length * STEPS)
  const own = await Promise.all(NAMES.map((name) => machines.of(name).call('read', { path: name })))
  const all = own.flat()
  for (const [i, name] of NAMES.entries()) {
    const events = own[i]!
    const key = machines.keys.get(name)!
    for (const other of NAMES) {
      const path = other === name ? name : key
      const theirs = await machines.of(other).call('read', { path })
      expect(theirs, `${name}'s pool on ${other}`).toEqual(events.map((event) => ({ ...event, path })))

      const ended = machines.of(other).ended(path)
      const firstRuns = [...new Set(ended)]
      expect(firstRuns, `${other}'s handler ran for every entry of ${name}'s pool, in order`).toEqual(events.map(({ seq }) => seq))
    }
    expect(new Set(events.map(({ id }) => id)).size, `no entry of ${name}'s pool exists twice`).toBe(events.length)
  }

  const count = (transaction: string, name: Name) =>
    own[NAMES.indexOf(name)]!.filter((event) => event.payment.transaction === transaction).length
  for (const [transaction, name] of acknowledged) expect(count(transaction, name), 'entries of an acknowledged payment').toBe(1)
  for (const { text, pools } of loops) {
    let cause = all.find(({ payment: { memo }, hops }) => hops === 0 && wishOf(memo).relay?.text === text)!
    for (const [i, name] of pools.entries()) {
      const { transaction } = payment(`${text} ${STEPS - 1 - i}`)
      const steps = all.filter((event) => event.payment.transaction === transaction)
      expect(steps, `step ${i + 1} of the loop of ${text}`).toEqual([
        expect.objectContaining({ path: name, hops: i + 1, cause: { key: cause.key, seq: cause.seq }, source: 'handler' }),
      ])
      cause = steps[0]!
    }
  }
  if (loops[0]) {
    const { text, pools } = loops[0]
    const last = all.find((event) => event.payment.transaction === payment(`${text} 0`).transaction)!
    const trail = await machines.of(pools[STEPS - 1]!).call('trail', { path: last.path, hash: last.hash })
    expect(trail.map(({ hops }: TxEvent) => hops)).toEqual([5, 4, 3, 2, 1, 0])
  }

  await machines.stop()
  const before = await machines.verified()
  for (const [name, pools] of before)
    for (const verified of pools) {
      expect(verified, name).toMatchObject({ problems: 0, coreLength: verified.blocks, receipts: verified.entries })
      expect(verified.signedBlocks, `${name} can prove what was signed`).toBe(verified.blocks)
    }

  for (const name of NAMES) rmSync(join(machines.of(name).dir, 'cores'), { recursive: true })
  const restarted = Date.now()
  await machines.start()
  await machines.caughtUpSince(restarted)
  await machines.stop()
  expect(await machines.verified(), 'the same keys and tree hashes from the mirrors alone').toEqual(before)

  expect(acknowledged.size).toBeGreaterThan(ROUNDS)
  const runs = NAMES.flatMap((name) => machines.of(name).runs()).filter(({ ended }) => !ended).length
  console.log(
    `${kills} kills, ${posted} payments, ${acknowledged.size} acknowledged, ${loops.length} loops, ${all.length} entries, ${runs - 3 * all.length} runs of the handlers more than entries`,
  )
})

function wishOf(memo: string | undefined): Wish {
  return memo?.startsWith('{') ? JSON.parse(memo) : {}
}

/** Three machines, each in a process of its own, that subscribe to one another. */
class Mesh implements AsyncDisposable {
  readonly keys = new Map<Name, string>()
  readonly #peers: Peers
  readonly #machines = new Map<Name, TestMachine>()

  constructor(peers: Peers) {
    this.#peers = peers
  }

  of(name: Name): TestMachine {
    return this.#machines.get(name)!
  }

  /** Starts the machines. At the first start they publish and subscribe; after a restart they do so by themselves. */
  async start(): Promise<void> {
    if (this.#machines.size) {
      await Promise.all(NAMES.map((name) => this.of(name).start()))
      return
    }
    for (const name of NAMES) {
      const machine = await TestMachine.start({ [name]: {} }, { side: 'sqlite', network: this.#peers.network })
      this.#machines.set(name, machine)
      this.keys.set(name, await machine.call('pub', name))
    }
    for (const name of NAMES) for (const other of NAMES) if (other !== name) await this.of(name).call('sub', this.keys.get(other)!)
  }

  /** Resolves when all machines have all entries, all handlers have finished them, and all steps of the loops have been posted. */
  async atRest(steps: number): Promise<void> {
    const waitsFor = async (name: Name) => {
      const machine = this.of(name)
      const { waiting, inFlight } = await machine.call('ingress')
      const behind = NAMES.map(async (other) => {
        const length = await this.of(other).call('length', other)
        const { seq } = await machine.call('cursor', other === name ? name : this.keys.get(other)!)
        return `${length - 1 - seq} of ${other}`
      })
      return [`${waiting + inFlight} posts`, ...(await Promise.all(behind))].filter((what) => !what.startsWith('0 '))
    }
    let posted = 0
    await until(
      async () => {
        const waits = await Promise.all(NAMES.map(async (name) => [name, await waitsFor(name)] as const))
        if (waits.every(([, what]) => !what.length)) {
          const events = await Promise.all(NAMES.map((name) => this.of(name).call('read', { path: name })))
          posted = events.flat().filter(({ hops }) => hops > 0).length
        }
        return { posted, waits: Object.fromEntries(waits) }
      },
      ({ posted }) => posted >= steps,
      120_000,
    ).catch(async (error) => {
      for (const name of NAMES) console.error(name, await this.of(name).call('status'), await this.of(name).call('reports'))
      throw error
    })
  }

  /** Resolves when each machine has learned, after `since`, the length of each pool that it subscribes to, and has all its entries. */
  async caughtUpSince(since: number): Promise<void> {
    for (const name of NAMES)
      await until(
        () => this.of(name).call('status'),
        (pools) =>
          pools.every(
            ({ subscribed, network, behind }) => !subscribed || (network!.at >= since && network!.remoteLength! > 0 && behind === 0),
          ),
        60_000,
      )
    // The status counts what the mirror holds. A hypercore that was removed is replicated beside it.
    await until(
      () => this.verified(),
      (machines) => machines.every(([, pools]) => pools.every(({ coreLength, blocks }) => coreLength === blocks)),
      60_000,
    )
  }

  async stop(): Promise<void> {
    await Promise.all(NAMES.map((name) => this.of(name).stop()))
  }

  /** Each machine's verification of each pool. */
  async verified() {
    return Promise.all(
      NAMES.map(
        async (name) =>
          [name, await Promise.all(NAMES.map((other) => this.of(name).verify(other === name ? name : this.keys.get(other)!)))] as const,
      ),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.#machines.values()) await machine[Symbol.asyncDispose]()
  }
}
