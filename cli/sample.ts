import { checkPayment } from '../shared/bip270/payment.ts'
import { atMost, systemClock } from '../shared/clock.ts'
import { askFilter, type FilteredPool } from '../shared/machine/filter.ts'
import type { LedgerPools } from '../shared/machine/pools.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'

/** A longer payment does not fit a line that people copy, characters. */
const MAX_SHOWN = 4_000
/** A filter that is slower is not waited for: the machine takes payments already, ms. */
const FILTER_MS = 2_000

type Sample = { payment: object } | { payment?: undefined; refusal: string }

/** A payment that the pool's filter takes: a new one without or with a memo, or else the pool's newest, sent again. */
export async function sampleFor(pool: FilteredPool, pools: LedgerPools): Promise<Sample> {
  const { path, filter } = pool
  const transaction = sampleTransaction(`hello, it is ${new Date().toISOString().slice(0, 19)}`)
  if (!filter) return { payment: { transaction } }
  const newest = (await pools.tail({ path, size: 1 })).map(({ payment }) => payment)
  const fitting = newest.filter((payment) => JSON.stringify(payment).length <= MAX_SHOWN)
  let refusal = ''
  for (const payment of [{ transaction }, { transaction, memo: 'a sample' }, ...fitting]) {
    const refused = await refusalOf(pool, payment)
    if (refused === undefined) return { payment }
    refusal ||= refused
  }
  return { refusal }
}

/** Why a filter refuses a payment, undefined if it does not. */
async function refusalOf(pool: FilteredPool, payment: object): Promise<string | undefined> {
  let refusal: string | undefined = 'the filter has not answered'
  const asked = askFilter(pool, checkPayment(payment)).then(
    () => (refusal = undefined),
    (error: Error) => (refusal = error.message),
  )
  await atMost(systemClock, FILTER_MS, asked)
  return refusal
}

/** A text as one argument of a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
