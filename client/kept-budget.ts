import type { DatabaseSync } from 'node:sqlite'
import { makePrivateFile } from '../local/folder.ts'
import { messageOf, OverpoolError } from '../shared/errors.ts'

/** How much an agent may pay, satoshis. What is left out is not limited by this place; a budget that nobody has set pays nothing. */
export interface Limits {
  perCall?: number
  /** in any 24 hours */
  perDay?: number
}

/** What became of money that was set aside. Only 'released' is known not to be paid; 'reserved' may be. */
export type ReservationState = 'reserved' | 'paid' | 'answered' | 'released'

/** Money that was set aside for one payment. */
export interface Reservation {
  id: number
  /** when it was set aside, ms since 1970 */
  at: number
  satoshis: number
  url: string
  state: ReservationState
  txid?: string
  /** HTTP status of the answer to the payment */
  status?: number
}

/** A payment that was made: with it the same payment can be sent again. */
export interface MadePayment extends Reservation {
  /** as it was given to `paid` */
  receipt: unknown
}

export interface Standing extends Limits {
  /** satoshis that were paid, or may have been, in the last 24 hours */
  spent: number
  /** satoshis that may still be paid now, and by one call */
  left: number
}

interface Asked {
  satoshis: number
  url: string
  /** names what is paid for: a payment that was made for it can be found again */
  purpose: string
  /** the limits of this process, besides those of the file */
  limits: Limits
  /** a payment above the limits that somebody has agreed to: its name, which counts once */
  approval?: string
  /** set nothing aside if something was set aside for this purpose before */
  once?: boolean
}

const DAY_MS = 24 * 3_600_000
/** How long a process waits for another one that sets money aside, ms. */
const BUSY_MS = 10_000

/** A payment that costs more than it may. Nothing was paid. */
export class OverBudget extends OverpoolError {
  readonly satoshis: number
  readonly url: string

  constructor(message: string, { satoshis, url }: Pick<Asked, 'satoshis' | 'url'>) {
    super('BUDGET_EXCEEDED', message)
    this.satoshis = satoshis
    this.url = url
  }
}

/**
 * What agents may pay and have paid, in a file that all processes share. Money is set aside, durably, before a wallet is asked to pay. It counts as spent until it is released, which
 * happens only when it is certain that nothing was paid. So the sum of what is paid in 24 hours never exceeds the limit, whichever process dies, and whenever.
 *
 * A clock that is set back makes no money available again: the time of the budget never goes back.
 */
export class KeptBudget implements Disposable {
  readonly #db: DatabaseSync
  readonly #now: () => number

  /** @throws OverpoolError BAD_CONFIG: the file is no budget */
  constructor(file: string, now = Date.now) {
    this.#now = now
    try {
      makePrivateFile(file)
      const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
      this.#db = new DatabaseSync(file, { timeout: BUSY_MS })
      this.#db.exec(`
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        BEGIN IMMEDIATE;
        CREATE TABLE IF NOT EXISTS budget (one INTEGER PRIMARY KEY CHECK (one = 1), per_call INTEGER, per_day INTEGER, seen_at INTEGER NOT NULL, renewed_after INTEGER NOT NULL);
        CREATE TABLE IF NOT EXISTS payments (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, satoshis INTEGER NOT NULL, url TEXT NOT NULL, purpose TEXT NOT NULL,
          state TEXT NOT NULL, txid TEXT, status INTEGER, receipt TEXT, approval TEXT UNIQUE);
        CREATE INDEX IF NOT EXISTS payments_by_purpose ON payments (purpose);
        CREATE INDEX IF NOT EXISTS payments_by_time ON payments (at);
        INSERT OR IGNORE INTO budget VALUES (1, NULL, NULL, 0, 0);
        COMMIT`)
    } catch (cause) {
      throw new OverpoolError('BAD_CONFIG', `${file} cannot be used as a budget: ${messageOf(cause)}`, { cause })
    }
  }

  /** The limits in the file. */
  get limits(): Limits {
    const { per_call, per_day } = this.#db.prepare('SELECT per_call, per_day FROM budget').get() as Record<string, number | null>
    return { ...(per_call !== null && { perCall: per_call }), ...(per_day !== null && { perDay: per_day }) } as Limits
  }

  /** Changes limits of the file; one that is left out stays as it is. */
  set(limits: Limits): void {
    const { perCall = null, perDay = null } = checkLimits(limits)
    this.#db.prepare('UPDATE budget SET per_call = coalesce(?, per_call), per_day = coalesce(?, per_day)').run(perCall, perDay)
  }

  /** What was paid until now counts no longer. For the operator. */
  renew(): void {
    this.#db.exec('UPDATE budget SET seen_at = 0, renewed_after = (SELECT coalesce(max(id), 0) FROM payments)')
  }

  /** @param limits those of this process */
  standing(limits: Limits = {}): Standing {
    return this.#standing(limits, this.#time())
  }

  /**
   * Sets money aside for a payment.
   * @returns its number, for `paid`, `answered` and `release`
   * @throws OverBudget nothing was set aside
   * @throws OverpoolError PAYMENT_REFUSED: with `once`, something was set aside for this purpose before
   */
  reserve({ satoshis, url, purpose, limits, approval, once }: Asked): number {
    if (!(Number.isSafeInteger(satoshis) && satoshis > 0))
      throw new OverpoolError(
        'PAYMENT_REFUSED',
        `${url} asks for ${satoshis} satoshis, which cannot be paid: it must be a whole number above 0`,
      )
    return this.#exclusively(() => {
      const time = this.#time()
      const before = once ? this.find(purpose) : undefined
      if (before) throw openBefore(before)
      if (approval === undefined) this.#check({ satoshis, url }, limits, time)
      else if (this.#db.prepare('SELECT 1 FROM payments WHERE approval = ?').get(approval))
        throw new OverBudget('this approval was used for a payment already: it counts once', { satoshis, url })
      this.#db.prepare('UPDATE budget SET seen_at = ?').run(time)
      const { lastInsertRowid } = this.#db
        .prepare("INSERT INTO payments (at, satoshis, url, purpose, state, approval) VALUES (?, ?, ?, ?, 'reserved', ?)")
        .run(time, satoshis, url, purpose, approval ?? null)
      return Number(lastInsertRowid)
    })
  }

  #check({ satoshis, url }: Pick<Asked, 'satoshis' | 'url'>, limits: Limits, time: number): void {
    const { perCall, perDay, spent, left } = this.#standing(limits, time)
    if (satoshis <= left) return
    const raise = '`overpool budget --per-call <satoshis> --per-day <satoshis>`, and the flags of `overpool mcp`'
    if (perCall === undefined || perDay === undefined)
      throw new OverBudget(
        `${url} costs ${satoshis} satoshis: nothing was paid, because nobody has set how much may be paid ${perCall === undefined ? 'by one call' : 'in a day'}. The operator sets it: ${raise}`,
        { satoshis, url },
      )
    throw new OverBudget(
      `${url} costs ${satoshis} satoshis, and only ${left} may be paid now: nothing was paid (${perCall} a call, ${perDay} in 24 hours, of which ${spent} are spent). The operator can raise it: ${raise}`,
      { satoshis, url },
    )
  }

  /** The payment was made, and is sent next. @param receipt JSON that is needed to send it again */
  paid(id: number, { txid, receipt }: { txid: string; receipt: unknown }): void {
    this.#db.prepare("UPDATE payments SET state = 'paid', txid = ?, receipt = ? WHERE id = ?").run(txid, JSON.stringify(receipt), id)
  }

  /** An answer has come that ends it. */
  answered(id: number, status: number): void {
    this.#db.prepare("UPDATE payments SET state = 'answered', status = ? WHERE id = ? AND state = 'paid'").run(status, id)
  }

  /** Nothing was paid, that is certain: the money can be spent on something else. @returns whether it was set aside, and not known to be paid */
  release(id: number): boolean {
    return this.#db.prepare("UPDATE payments SET state = 'released' WHERE id = ? AND state = 'reserved'").run(id).changes === 1
  }

  /** The newest money that was set aside for a purpose, and not released. */
  find(purpose: string): MadePayment | undefined {
    const row = this.#db.prepare("SELECT * FROM payments WHERE purpose = ? AND state <> 'released' ORDER BY id DESC LIMIT 1").get(purpose)
    return row && { ...reservationOf(row), receipt: row.receipt === null ? undefined : JSON.parse(String(row.receipt)) }
  }

  /** The newest payments, newest first. */
  list(most: number): Reservation[] {
    return this.#db.prepare('SELECT * FROM payments ORDER BY id DESC LIMIT ?').all(most).map(reservationOf)
  }

  /** Limits that both the file and this process keep: the lower one of each. */
  #standing(own: Limits, time: number): Standing {
    const { perCall, perDay } = lower(this.limits, checkLimits(own))
    const { spent } = this.#db
      .prepare(
        "SELECT coalesce(sum(satoshis), 0) AS spent FROM payments WHERE at > ? AND state <> 'released' AND id > (SELECT renewed_after FROM budget)",
      )
      .get(time - DAY_MS) as { spent: number }
    const left = perCall === undefined || perDay === undefined ? 0 : Math.max(0, Math.min(perCall, perDay - spent))
    return { ...(perCall !== undefined && { perCall }), ...(perDay !== undefined && { perDay }), spent, left }
  }

  /** The time of the budget: that of the clock, unless it was set back. */
  #time(): number {
    const { seen_at } = this.#db.prepare('SELECT seen_at FROM budget').get() as { seen_at: number }
    return Math.max(this.#now(), seen_at)
  }

  /** One process at a time, and durable when it returns. */
  #exclusively<T>(work: () => T): T {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
    } catch (cause) {
      throw new OverpoolError('UNAVAILABLE', `the budget cannot be changed now, so nothing is paid: ${messageOf(cause)}`, {
        cause,
        retryable: true,
      })
    }
    try {
      const result = work()
      this.#db.exec('COMMIT')
      return result
    } catch (error) {
      this.#db.exec('ROLLBACK')
      throw error
    }
  }

  close(): void {
    this.#db.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function openBefore({ id, state, txid, url }: Reservation): OverpoolError {
  const what =
    state === 'reserved'
      ? `${url} may be paid already: a payment is under way, or a program ended during it. Nothing more is paid. If the wallet shows that it was not paid, the operator allows a new payment by \`overpool budget --release ${id}\``
      : `${url} was paid already, by ${txid}: nothing more is paid`
  return new OverpoolError('PAYMENT_REFUSED', what)
}

/** @throws OverpoolError BAD_ARGUMENT */
export function checkLimits(limits: Limits): Limits {
  for (const [name, value] of Object.entries(limits))
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
      throw new OverpoolError('BAD_ARGUMENT', `${name} of a budget is a whole number of satoshis`)
  return limits
}

function lower(one: Limits, other: Limits): Limits {
  const least = (name: keyof Limits) => {
    const set = [one[name], other[name]].filter((value) => value !== undefined)
    return set.length ? { [name]: Math.min(...set) } : {}
  }
  return { ...least('perCall'), ...least('perDay') }
}

function reservationOf(row: Record<string, unknown>): Reservation {
  const { id, at, satoshis, url, state, txid, status } = row as unknown as Reservation & { txid: string | null; status: number | null }
  return { id, at, satoshis, url, state, ...(txid !== null && { txid }), ...(status !== null && { status }) }
}
