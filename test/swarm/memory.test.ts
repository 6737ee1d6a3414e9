import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { openLedgerFile } from '../../local/ports.ts'
import { unlessAborted } from '../../shared/clock.ts'
import { largePayment, until } from '../machine/machine.ts'
import type { FollowerState } from './follower.ts'
import { Peers } from './peers.ts'
import { blockOf, entryBytes, newKeyPair, RawPeer } from './raw-peer.ts'

const BLOCKS = 40
const BLOCK_BYTES = 5_000_000

it('a wait that a signal can end keeps no result, while the signal lives on', async () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const stopped = new AbortController()
  const waited = async () => new WeakRef(await unlessAborted(stopped.signal, Promise.resolve(Buffer.alloc(1_000))))
  const results = [await waited(), await waited(), await waited()]
  await new Promise(setImmediate) // a WeakRef holds its target until this turn of the event loop is over
  gc()
  expect(results.map((result) => result.deref())).toEqual([undefined, undefined, undefined])
  const unended = unlessAborted(stopped.signal, new Promise(() => {}))
  stopped.abort(new Error('the end'))
  await expect(unended).rejects.toThrow('the end')
})

it('a follower gets large blocks one at a time: each is in its ledger before the next one comes', { timeout: 60_000 }, async () => {
  await using peers = await Peers.start()
  await using mallory = new RawPeer(peers)
  const publisher = await mallory.publish(newKeyPair())
  const append = async (from: number, to: number) => {
    for (let i = from; i < to; i++)
      await publisher.append(blockOf(i, [entryBytes(`${i}`, { tx: Buffer.from(largePayment(2_000_000 + i).transaction, 'hex') })]))
  }
  await append(0, 20)
  const bob = peers.machine().listen()
  await bob.pool.sub({ path: publisher.key })
  const ledger = openLedgerFile(bob.dir)
  const inFlight: Promise<number>[] = []
  publisher.core.on('upload', (n) => inFlight.push(ledger.stores.blocks.last(publisher.key).then((last) => n - (last?.n ?? -1))))
  const handled = (count: number) =>
    until(
      () => bob.events.length,
      (events) => events === count,
      30_000,
    )
  await handled(20)
  await append(20, 24) // live
  await handled(24)
  ledger.close()
  expect(await Promise.all(inFlight)).toEqual(Array(24).fill(1))
})

it('a follower of many large blocks keeps none of them in memory', { timeout: 180_000 }, async () => {
  await using peers = await Peers.start()
  await using mallory = new RawPeer(peers)
  const publisher = await mallory.publish(newKeyPair())
  for (let i = 0; i < BLOCKS; i++)
    await publisher.append(blockOf(i, [entryBytes(`${i}`, { tx: Buffer.from(largePayment(BLOCK_BYTES + i).transaction, 'hex') })]))
  const dir = mkdtempSync(join(tmpdir(), 'overpool-follower-'))
  const child = fork(new URL('./follower.ts', import.meta.url), [dir, peers.network.bootstrap![0]!, publisher.key], {
    execArgv: ['--expose-gc'],
  })
  try {
    const held: number[] = []
    for (let entries = 0; entries < BLOCKS; ) {
      const [state] = (await once(child, 'message')) as [FollowerState]
      entries = state.entries
      held.push(state.heldBytes)
    }
    expect(Math.max(...held)).toBeLessThan((BLOCKS * BLOCK_BYTES) / 2)
    expect(held.at(-1)).toBeLessThan(60_000_000)
  } finally {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
})
