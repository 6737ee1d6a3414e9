import type { Filter } from '../../shared/config/config.ts'

/** Filters are functions, and a test machine is told of its pools as data: it has these, by name. */
const filters: Record<string, Filter> = {
  'no-memo': (payment, callback) => callback(payment.memo === undefined ? null : 'this pool takes no memos', true),
  'only-data': async ({ parsed }) => parsed.out.some(({ tape }) => tape.length > 1),
}

/** A pool's settings, with the filter that they name. */
export function withFilter<T extends { filter?: unknown }>(settings: T): Omit<T, 'filter'> & { filter?: Filter } {
  return { ...settings, filter: filters[String(settings.filter)] }
}
