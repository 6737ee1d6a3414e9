import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { accept } from '../functions/payments/accept.ts'
import { type LedgerFile, openLedgerFile } from '../local/parts.ts'
import { checkPayment } from '../shared/bip270/payment.ts'
import type { Clock } from '../shared/clock.ts'
import { checkSettings } from '../shared/config.ts'
import { decodeIngress } from '../shared/ledger/messages.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { CoreStore, poolKeys } from '../sidecar/core.ts'
import type { SidecarReport } from '../sidecar/report.ts'
import { PoolWriter } from '../sidecar/writer.ts'
import { until } from './machine/machine.ts'

/** Time that stands still until the test winds it on. */
class StoppedClock implements Clock {
  #now = 1_000_000
  #sleepers: { until: number; wake: () => void }[] = []

  now = () => this.#now

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake) => {
      this.#sleepers.push({ until: this.#now + ms, wake })
      signal?.addEventListener('abort', () => wake())
    })
  }

  wind(ms: number): void {
    this.#now += ms
    const due = this.#sleepers.filter(({ until }) => until <= this.#now)
    this.#sleepers = this.#sleepers.filter(({ until }) => until > this.#now)
    for (const { wake } of due) wake()
  }
}

describe('the writer of a pool', () => {
  const seed = Buffer.alloc(32, 7)
  let dir: string
  let ledger: LedgerFile
  let cores: CoreStore
  let writer: PoolWriter
  let clock: StoppedClock
  let blocks: number[]
  let posted = 0

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'overpool-test-'))
    ledger = openLedgerFile(dir)
    cores = new CoreStore(join(dir, 'cores'), seed)
    clock = new StoppedClock()
    blocks = []
    const { key, discoveryKey } = poolKeys(seed, 'p')
    await ledger.mirror.createPool({ path: 'p', key, discoveryKey, createdAt: 1 })
    const { mirror, ingress } = ledger
    const core = await cores.open('p')
    const report = (r: SidecarReport) => r.kind === 'block' && blocks.push(r.entries)
    writer = await PoolWriter.open({ path: 'p', mirror, ingress, core, clock, ringers: () => [], report })
  })

  afterEach(async () => {
    await writer.stop()
    await cores.close()
    ledger.close()
    rmSync(dir, { recursive: true })
  })

  /** Hands the writer so many posts at one moment. */
  async function post(count: number): Promise<void> {
    const pool = { path: 'p', ...checkSettings({}, '') }
    const { ingress } = ledger
    for (let i = 0; i < count; i++)
      await accept(pool, checkPayment({ transaction: sampleTransaction(`${posted++}`) }), { source: 'http' }, { ingress, now: Date.now })
    const messages = await ingress.receive({ max: count, waitMs: 0 })
    for (const message of messages) writer.accept(decodeIngress(message.body), message)
  }

  const put = (expected: number[]) =>
    until(
      () => blocks,
      (now) => now.length >= expected.length,
    ).then((now) => expect(now).toEqual(expected))

  it('puts a lone post at once, and the next one, too', async () => {
    await post(1)
    await put([1])
    await post(1)
    await put([1, 1])
  })

  it('gathers what comes within 20 ms of a busy block, and puts it as one', async () => {
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

  it('waits no longer than until the block is full', async () => {
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

  it('puts a full block at once, however busy it is', async () => {
    await post(256)
    await put([256])
    await post(256)
    await put([256, 256])
  })
})
