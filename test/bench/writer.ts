import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { openLedgerFile } from '../../local/ports.ts'
import { checkPayment } from '../../shared/bip270/payment.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { accept } from '../../shared/machine/accept.ts'
import type { Queue } from '../../shared/queue/port.ts'
import type { Stores } from '../../shared/store/port.ts'
import { CoreStore, poolKeys } from '../../sidecar/cores/core.ts'
import { IngressConsumer } from '../../sidecar/writer/ingress-consumer.ts'
import { type Effort, type Figures, median, number } from './report.ts'
import { withText } from './transactions.ts'

const CALL_MS = 5
const POOL = 'mypool'

/** Measures the writer of one pool on a full queue, over a mirror that answers as late as DynamoDB: look-ups, blocks, hypercore and receipts, without a handler. */
export async function writer({ smoke }: Effort): Promise<Figures> {
  const [rounds, count] = smoke ? [1, 500] : [5, 50_000]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const ledger = openLedgerFile(dir)
  const seed = Buffer.alloc(32, 1)
  const cores = new CoreStore(join(dir, 'cores'), seed)
  const { stores, calls } = far(ledger.stores)
  const rates: number[] = []
  let blocks = 0
  try {
    const { key, discoveryKey } = poolKeys(seed, POOL)
    await ledger.stores.control.create({ kind: 'own', path: POOL, key, discoveryKey, createdAt: Date.now() })
    for (let round = -1; round < rounds; round++) {
      await fill(ledger.ingress, count, (round + 1) * count)
      let left = count
      let put!: () => void
      const all = new Promise<void>((resolve) => (put = resolve))
      const start = performance.now()
      const consumer = IngressConsumer.start({
        stores,
        ingress: ledger.ingress,
        cores,
        ringers: () => [],
        clock: systemClock,
        report(report) {
          if (report.kind !== 'block') throw new Error(`the writer reports: ${report.kind}`, { cause: report })
          blocks++
          if ((left -= report.entries) === 0) put()
        },
      })
      await all
      await consumer.stop() // includes the effects of the last blocks
      if (round >= 0) rates.push((count / (performance.now() - start)) * 1_000) // the first warms up
    }
  } finally {
    await cores.close()
    ledger.close()
    rmSync(dir, { recursive: true, force: true })
  }
  const rate = median(rates)
  const entries = (rounds + 1) * count
  return {
    title: `writer: one pool, a full ingress queue, ${CALL_MS} ms more for each call of the mirror; median of ${rounds} rounds`,
    rows: [
      ['', 'entries/s', 'entries a block', 'calls per 1,000 entries'],
      ['PoolWriter', number(rate), number(entries / blocks), number((calls() / entries) * 1_000)],
    ],
    goals: [{ what: '20,000 entries/s', met: rate >= 20_000 }],
  }
}

async function fill(ingress: Queue, count: number, from: number): Promise<void> {
  const pool = { path: POOL, ...checkSettings({}, '') }
  const post = (i: number) => accept(pool, checkPayment({ transaction: withText(i) }), { source: 'http' }, { ingress, now: Date.now })
  for (let done = 0; done < count; done += 1_000)
    await Promise.all(Array.from({ length: Math.min(1_000, count - done) }, (_, i) => post(from + done + i)))
}

/** The stores, with a delay before each call. */
function far(stores: Stores): { stores: Stores; calls: () => number } {
  let calls = 0
  const later = <Port extends object>(port: Port): Port =>
    new Proxy(port, {
      get:
        (target, name) =>
        async (...args: unknown[]) => {
          calls++
          await wait(CALL_MS)
          return (Reflect.get(target, name) as (...args: unknown[]) => unknown).apply(target, args)
        },
    })
  const { blocks, receipts, statuses, control, progress, state, leases, ancestors, invoices } = stores
  const all = {
    blocks: later(blocks),
    receipts: later(receipts),
    statuses: later(statuses),
    control: later(control),
    progress: later(progress),
    state,
    leases: later(leases),
    ancestors,
    invoices: later(invoices),
  }
  return { stores: all, calls: () => calls }
}
