import type { Limits, Quota } from '../../shared/config/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { isLoopback } from './loopback.ts'

const MINUTE_MS = 60_000
/** Addresses and pools whose quotas are remembered at one time. The one that was used least recently is forgotten first, as if it had posted nothing. */
const MAX_COUNTED = 50_000
/** The limits of a pool that sets none, for posts of other hosts: far more than wallets need, and little enough that one address does not fill a disk in an hour. */
const DEFAULTS: Limits = { perMinute: 1_000, bytesPerMinute: 60_000_000, total: { perMinute: 60_000, bytesPerMinute: 600_000_000 } }
const NONE: Limits = {}

/** Counts what wallets post into each pool: from each address, and from all together. A quota fills up again steadily, over a minute. */
export class Quotas {
  readonly #now: () => number
  /** in the order of their last use */
  readonly #used = new Map<string, { amount: number; at: number }>()

  /** @param now ms, of a clock that is never set back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /**
   * Counts posts and bytes, or throws QUOTA_EXCEEDED. A message that exceeds what is left is taken, and the next one has to wait for longer: so a quota of bytes is no limit of a
   * message's size.
   */
  spend(pool: { path: string; limits?: Limits | false }, address: string, posts: number, bytes: number): void {
    if (pool.limits === false) return
    const isHere = address === '' || isLoopback(plain(address)) // '': not known, as in a test
    const defaults = isHere ? NONE : DEFAULTS
    this.#spend(`${pool.path} ${networkOf(address)}`, { ...defaults, ...pool.limits }, posts, bytes, 'your address has sent this pool')
    this.#spend(pool.path, { ...defaults.total, ...pool.limits?.total }, posts, bytes, 'this pool has been sent')
  }

  #spend(who: string, { perMinute, bytesPerMinute }: Quota, posts: number, bytes: number, sentence: string): void {
    if (perMinute !== undefined) this.#count(`${who} posts`, posts, perMinute, `${sentence} ${perMinute} payments in a minute`)
    if (bytesPerMinute !== undefined) this.#count(`${who} bytes`, bytes, bytesPerMinute, `${sentence} ${bytesPerMinute} bytes in a minute`)
  }

  #count(key: string, amount: number, perMinute: number, sentence: string): void {
    const now = this.#now()
    const last = this.#used.get(key)
    const used = last ? Math.max(last.amount - ((now - last.at) / MINUTE_MS) * perMinute, 0) : 0
    if (used + Math.min(amount, 1) > perMinute) {
      const seconds = Math.ceil(((used + 1 - perMinute) / perMinute) * 60)
      throw new OverpoolError('QUOTA_EXCEEDED', `${sentence}; please send this one again in ${seconds} s`, {
        retryable: true,
        retryAfterS: seconds,
      })
    }
    if (!amount) return
    this.#used.delete(key)
    this.#used.set(key, { amount: used + amount, at: now })
    if (this.#used.size > MAX_COUNTED) this.#used.delete(this.#used.keys().next().value!)
  }
}

/** An IPv4 address; of an IPv6 address its first 64 bits, since whoever has one has all that begin so. */
function networkOf(address: string): string {
  const it = plain(address)
  if (!it.includes(':')) return it
  const [head = '', tail = ''] = it.split('%', 1)[0]!.split('::')
  const groups = (text: string) => (text ? text.split(':') : [])
  const [first, last] = [groups(head), groups(tail)]
  return [...first, ...Array(Math.max(8 - first.length - last.length, 0)).fill('0'), ...last].slice(0, 4).join(':')
}

/** An IPv4 address as IPv6 writes it is that IPv4 address. */
function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '')
}
