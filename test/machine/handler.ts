import { appendFileSync } from 'node:fs'
import type { TxEvent } from '../../shared/machine/event.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'

/** What a payment asks of the test's handler, as JSON in its memo. */
export interface Wish {
  /** throw at the first so many runs */
  throw?: number
  /** never return, at the first so many runs */
  hang?: number
  /** post once more into this pool, and so on, until `left` is 0 */
  loop?: { pool: string; left: number; text: string }
  /** if the first of these pools is this machine's, post once more into it, wishing for the rest of them: a loop that hops from machine to machine */
  relay?: { pools: string[]; text: string }
  /** post the same amount of times, not awaiting any of them */
  forget?: number
  /** post another transaction at each run, then throw at the first */
  fickle?: boolean
}

/** One run of the handler, as it is noted in the runs file: a file outlives a kill -9 of the process that wrote it. */
export interface Run {
  path: string
  seq: number
  hash: string
  hops: number
  memo?: string
  ended: boolean
}

/** Where the runs are noted: it outlives the process that notes them. */
export interface Runs {
  /** @returns how many runs of this entry have begun, this one among them */
  began(run: Run): Promise<number>
  ended(run: Run): Promise<void>
}

/** Notes in a file; the runs of an entry are counted for the life of this process. */
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

/** The handler of the test machine: does as the payment's memo says, and notes each run, its begin and its end. */
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
    if (wish.fickle) await pool.post({ path: e.path, payment: sampleTransaction(`fickle ${run}`) })
    if (run <= (wish.throw ?? (wish.fickle ? 1 : 0))) throw new Error(`the handler failed, as it was asked to (run ${run})`)
    if (run <= (wish.hang ?? 0)) await new Promise(() => {})
    await runs.ended({ ...noted, ended: true })
  }
}
