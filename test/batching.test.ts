import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LedgerFile, openLedgerFile } from '../local/ports.ts'
import { checkPayment } from '../shared/bip270/payment.ts'
import { checkSettings } from '../shared/config/config.ts'
import { decodeIngress } from '../shared/ledger/messages.ts'
import { accept } from '../shared/machine/accept.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { CoreStore, poolKeys } from '../sidecar/cores/core.ts'
import type { SidecarReport } from '../sidecar/report.ts'
import { PoolWriter } from '../sidecar/writer/writer.ts'
import { HandClock } from './hand-clock.ts'
import { largePayment, until } from './machine/machine.ts'

describe('the writer of a pool', () => {
  const seed = Buffer.alloc(32, 7)
  let dir: string
  let ledger: LedgerFile
  let cores: CoreStore
  let writer: PoolWriter
  let clock: HandClock
  let blocks: number[]
  let posted = 0

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'overpool-test-'))
    ledger = openLedgerFile(dir)
    cores = new CoreStore(join(dir, 'cores'), seed)
    clock = new HandClock()
    blocks = []
    const { key, discoveryKey } = poolKeys(seed, 'p')
    await ledger.stores.control.create({ kind: 'own', path: 'p', key, discoveryKey, createdAt: 1 })
    const { stores, ingress } = ledger
    const core = await cores.open('p')
    const report = (r: SidecarReport) => r.kind === 'block' && blocks.push(r.entries)
    writer = await PoolWriter.open({ path: 'p', stores, ingress, core, clock, ringers: () => [], report })
  })

  afterEach(async () => {
    await writer.stop()
    await cores.close()
    ledger.close()
    rmSync(dir, { recursive: true })
  })

  /** Gives the writer `count` posts at once. */
  async function post(count: number, transaction = sampleTransaction('the same, but for the memo')): Promise<void> {
    const pool = { path: 'p', ...checkSettings({}, '') }
    const { ingress } = ledger
    for (let i = 0; i < count; i++)
      await accept(pool, checkPayment({ transaction, memo: `${posted++}` }), { source: 'http' }, { ingress, now: Date.now })
    const messages = await ingress.receive({ max: count, waitMs: 0 })
    for (const message of messages) writer.accept(decodeIngress(message.body), message)
  }

  const put = (expected: number[]) =>
    until(
      () => blocks,
      (now) => now.length >= expected.length,
    ).then((now) => expect(now).toEqual(expected))

  it('puts a single post at once, and the next single post too', async () => {
    await post(1)
    await put([1])
    await post(1)
    await put([1, 1])
  })

  it('collects the posts of the 20 ms after a block of many, and puts them as one block', async () => {
    await post(20)
    await put([20])
    for (let i = 1; i <= 6; i++) {
      if (i === 6) clock.wind(19)
      await post(1)
      await until(
        () => writer.postsInHand,
        (inHand) => inHand === i,
      )
    }
    expect(blocks).toEqual([20])
    clock.wind(1)
    await put([20, 6])
  })

  it('stops waiting when the block has all the entries that it may have', async () => {
    await post(20)
    await put([20])
    await post(255)
    await until(
      () => writer.postsInHand,
      (inHand) => inHand === 255,
    )
    expect(blocks).toEqual([20])
    await post(1)
    await put([20, 256])
  })

  it('stops waiting when the block has all the bytes that it may have', async () => {
    await post(20)
    await put([20])
    await post(5, largePayment(70_000).transaction)
    await put([20, 3])
  })

  it('puts a full block at once, even when it is busy', async () => {
    await post(256)
    await put([256])
    await post(256)
    await put([256, 256])
  })
})
