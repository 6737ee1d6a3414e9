import { appendFileSync } from 'node:fs'
import type { TxEvent } from '../../shared/ledger/event.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'

/** What a payment makes the test's handler do, as JSON in its memo. */
export interface Wish {
  /** throw in the first runs, this many */
  throw?: number
  /** never return in the first runs, this many */
  hang?: number
  /** post a next step into this pool, until `left` is 0 */
  loop?: { pool: string; left: number; text: string }
  /** post a next step into the first of these pools, if it is this machine's, with the rest of the list: a loop from machine to machine */
  relay?: { pools: string[]; text: string }
  /** post this many times, without awaiting the posts */
  forget?: number
  /** in each run post another transaction, or the same one with another memo, and throw in the first */
  fickle?: true | 'memo'
}

/** One run of the handler. */
export interface Run {
  path: string
  seq: number
  hash: string
  hops: number
  memo?: string
  ended: boolean
}

/** Records the runs where they outlive the process. */
export interface Runs {
  /** @returns the number of runs of this entry that have begun, with this one */
  began(run: Run): Promise<number>
  ended(run: Run): Promise<void>
}

/** Records runs in a file, which outlives a kill -9. Runs of an entry are counted from the start of this process. */
export class FileRuns implements Runs {
  readonly #file: string
  readonly #times = new Map<string, number>()

  constructor(file: string) {
    this.#file = file
  }

  async began(run: Run): Promise<number> {
    const times = (this.#times.get(`${run.path}#${run.seq}`) ?? 0) + 1
    this.#times.set(`${run.path}#${run.seq}`, times)
    this.#note(run)
    return times
  }

  async ended(run: Run): Promise<void> {
    this.#note(run)
  }

  #note(run: Run): void {
    appendFileSync(this.#file, `${JSON.stringify(run)}\n`)
  }
}

/** The handler of the test machine: does what the payment's memo says, and records the begin and the end of each run. */
export function handlerOf(runs: Runs): (e: TxEvent, pool: Pools) => Promise<void> {
  return async (e, pool) => {
    const noted = { path: e.path, seq: e.seq, hash: e.hash, hops: e.hops, memo: e.payment.memo }
    const run = await runs.began({ ...noted, ended: false })
    const wish: Wish = e.payment.memo?.startsWith('{') ? JSON.parse(e.payment.memo) : {}
    if (wish.loop && wish.loop.left > 0) {
      const loop = { ...wish.loop, left: wish.loop.left - 1 }
      await pool.post({
        path: loop.pool,
        payment: { transaction: sampleTransaction(`${loop.text} ${loop.left}`), memo: JSON.stringify({ loop }) },
      })
    }
    const [next, ...pools] = wish.relay?.pools ?? []
    if (next !== undefined && (await pool.status()).some(({ path }) => path === next)) {
      const relay = { pools, text: wish.relay!.text }
      await pool.post({
        path: next,
        payment: { transaction: sampleTransaction(`${relay.text} ${pools.length}`), memo: JSON.stringify({ relay }) },
      })
    }
    for (let i = 0; i < (wish.forget ?? 0); i++) void pool.post({ path: e.path, payment: sampleTransaction(`forgotten ${i}`) })
    if (wish.fickle === 'memo') await pool.post({ path: e.path, payment: { transaction: sampleTransaction('fickle'), memo: `run ${run}` } })
    else if (wish.fickle) await pool.post({ path: e.path, payment: sampleTransaction(`fickle ${run}`) })
    if (run <= (wish.throw ?? (wish.fickle ? 1 : 0))) throw new Error(`the handler failed, as it was asked to (run ${run})`)
    if (run <= (wish.hang ?? 0)) await new Promise(() => {})
    await runs.ended({ ...noted, ended: true })
  }
}
