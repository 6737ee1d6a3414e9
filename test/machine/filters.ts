import type { Filter } from '../../shared/config/config.ts'

const orders = new Set<string>()

/** The filters of test machines, by name: a machine in a process of its own gets its settings as data, which cannot contain functions. */
const filters: Record<string, Filter> = {
  'no-memo': (payment, callback) => callback(payment.memo === undefined ? null : 'this pool takes no memos', true),
  once({ transaction }) {
    if (orders.has(transaction)) throw new Error('this order is paid')
    orders.add(transaction)
  },
  nothing: () => false,
  long() {
    throw new Error('x'.repeat(300))
  },
  'only-data': async ({ parsed }) => parsed.out.some(({ tape }) => tape.length > 1),
}

/** A pool's settings, with the named filter as a function. */
export function withFilter<T extends { filter?: unknown }>(settings: T): Omit<T, 'filter'> & { filter?: Filter } {
  return { ...settings, filter: filters[String(settings.filter)] }
}
