import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { answerBell } from '../../functions/handler/runner.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { replay } from '../../local/replay.ts'
import { systemClock } from '../../shared/clock.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import { type Effort, type Figures, median, number } from './report.ts'
import { signed } from './transactions.ts'

/** The goal: a handler with a `get` and a `set` for each entry takes so many times the time of one without. */
const MOST = 1.5
/** The goal: entries of a replay with an empty handler a second. */
const REPLAYED = 50_000
/** Keys that the handlers count under. */
const KEYS = 1_000

type OnTx = (event: TxEvent, state: HandlerState) => unknown

/** Runs handlers over one ledger by turns: one that does nothing, one with a state, one with a SQLite file of its own; and replays one. */
export async function state({ smoke }: Effort): Promise<Figures> {
  const [rounds, count, replayed] = smoke ? [1, 2_000, 2_000] : [7, 50_000, 1_000_000]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const file = openLedgerFile(dir)
  const own = new DatabaseSync(join(dir, 'own.sqlite'))
  try {
    const { stores } = file
    const key = 'ab'.repeat(32)
    const fill = async (pool: string, entries: number) => {
      await stores.control.create({ kind: 'own', path: pool, key, discoveryKey: key, createdAt: 0 })
      let blocks = []
      for (let first = 0, n = 0; first < entries; first += 256, n++) {
        const encoded = Array.from({ length: Math.min(256, entries - first) }, (_, i) => {
          const id = (first + i).toString(16).padStart(64, '0') as EntryId
          return encodeEntry({ kind: 'tx', id, at: 0, tx: Buffer.from(signed(first + i), 'hex'), payment: {}, source: 'http', hops: 0 })
        })
        blocks.push(stores.blocks.put(pool, encodeBlock(n, first, encoded)))
        if (blocks.length === 64) await Promise.all(blocks.splice(0))
      }
      await Promise.all(blocks)
      blocks = []
    }
    await fill('bench', count)
    own.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE counts (key TEXT PRIMARY KEY, n INTEGER)')
    const [read, write] = [own.prepare('SELECT n FROM counts WHERE key = ?'), own.prepare('INSERT OR REPLACE INTO counts VALUES (?, ?)')]
    const handlers: Record<string, OnTx> = {
      'without a state': async () => {},
      'with a get and a set': async ({ seq }, state) => {
        const name = `key ${seq % KEYS}`
        await state.set(name, (((await state.get(name)) as number) ?? 0) + 1)
      },
      'with a get and a set in a SQLite file of its own': async ({ seq }) => {
        const name = `key ${seq % KEYS}`
        write.run(name, ((read.get(name) as { n: number } | undefined)?.n ?? 0) + 1)
      },
    }
    const last = (await stores.blocks.last('bench'))!.n
    const seen = new Map<string, number[]>()
    for (let round = -1; round < rounds; round++) {
      for (const [name, tx] of Object.entries(handlers)) {
        const start = performance.now()
        const answer = await answerBell({ pool: 'bench', n: last }, { key }, 1, systemClock.elapsed() + 3_600_000, {
          handler: `${name} ${round}`,
          stores,
          clock: systemClock,
          report: (said) => {
            throw new Error(JSON.stringify(said))
          },
          functions: { tx },
          maxAttempts: 1,
          retryForMs: 0,
          onPoison: 'skip',
          timeoutMs: 60_000,
          retryMs: 1,
          retryMostMs: 1,
          alone: oneAfterTheOther(),
        })
        if (!answer.done) throw new Error('the bell was not answered')
        if (round >= 0) seen.set(name, [...(seen.get(name) ?? []), performance.now() - start]) // the first warms up
      }
    }
    await fill('long', replayed)
    const start = performance.now()
    let calls = 0
    await replay({
      pool: { path: 'long', key },
      handler: 'empty',
      functions: { tx: () => void calls++ },
      options: {},
      into: 'again',
      from: 0,
      to: replayed - 1,
      stores,
      pools: {} as Pools,
      clock: systemClock,
      timeoutMs: 60_000,
      progress: () => {},
      report: () => {},
      stopping: new AbortController().signal,
    })
    const rate = replayed / ((performance.now() - start) / 1_000)
    if (calls !== replayed) throw new Error(`${calls} of ${replayed} entries were replayed`)
    const ratioOf = (name: string) => median(seen.get(name)!.map((ms, i) => ms / seen.get('without a state')![i]!))
    const ratio = ratioOf('with a get and a set')
    return {
      title: `state: a handler over ${number(count)} entries, SQLite; medians of ${rounds} rounds`,
      rows: [
        ['', 'entries a second', 'times the time without'],
        ...[...seen].map(([name, ms]) => [name, number(count / (median(ms) / 1_000)), number(ratioOf(name))]),
        [`replay of ${number(replayed)} entries, an empty handler`, number(rate), ''],
      ],
      goals: [
        { what: `a handler with a get and a set takes at most ${MOST} times the time of one without`, met: ratio <= MOST },
        { what: `a replay with an empty handler runs ${number(REPLAYED)} entries a second`, met: rate >= REPLAYED },
      ],
    }
  } finally {
    own.close()
    file.close()
    rmSync(dir, { recursive: true })
  }
}
