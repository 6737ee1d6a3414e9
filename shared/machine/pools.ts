import { type Clock, timeLeft } from '../clock.ts'
import type { CheckedSettings } from '../config/config.ts'
import { OverpoolError } from '../errors.ts'
import { type Block, entriesOf, entryAt } from '../ledger/block.ts'
import { type EventOfKind, eventOf, type LedgerEvent, type TxEvent } from '../ledger/event.ts'
import { type Cause, type Committed, type Entry, KINDS, type Kind } from '../ledger/kinds.ts'
import { shardOfChainPool } from '../ledger/pool.ts'
import { asHeard, scanEntries } from '../ledger/scanned.ts'
import type { KeptStatus } from '../ledger/status.ts'
import { hex, hexBytes, isUint } from '../ledger/values.ts'
import type { Ingress } from '../queue/port.ts'
import { type StateOptions, type StateView, viewOf } from '../state/view.ts'
import { findAncestor } from '../store/ancestors.ts'
import { lengthOf } from '../store/blocks.ts'
import type { PoolControl } from '../store/control.ts'
import type { Stores } from '../store/port.ts'
import type { ReceiptKey } from '../store/receipts.ts'
import { type ScannedTransaction, scanTransaction } from '../transaction/index.ts'
import { type Accepted, accept, enqueue, hopsOf, type PoolDoor, type Poster } from './accept.ts'
import { acceptCommit, type Broadcast, type Broadcastable, type BroadcastOptions, type CheckedBroadcast, checkBroadcast } from './commit.ts'
import { handlerContext } from './context.ts'
import { Copies } from './copies.ts'
import { findPool } from './find-pool.ts'
import { checkInvoice, type InvoiceCalls, InvoiceDesk, type InvoicesDeps, invoiceCalls } from './invoices.ts'
import { optionsOf } from './options.ts'
import { asPoster, type CheckedPost, checkPost, type Posted, type PostOptions } from './post.ts'

/** A read waits at most this long for this program's own posts to enter the ledger, ms. */
const OWN_POSTS_MS = 1_000
/** How often it checks, ms. */
const LOOK_MS = 5
/** It waits for at most this many posts of a pool, the newest ones. */
const MAX_OWN_POSTS = 100
/** Default size of `tail`. */
const TAIL_SIZE = 10
/** How many entries `tail` reads per step back, when entries of other kinds lie between those that it shows. */
const TAIL_PAGE = 256

/** The kinds of entries that `tail` and `read` show; 'all' includes unknown kinds. Default: transactions. */
export type Kinds = readonly Kind[] | 'all'
/** The events of these kinds. */
export type EventOfKinds<K extends Kinds> = K extends readonly Kind[] ? EventOfKind<K[number]> : LedgerEvent

export interface TailOptions {
  path: string
  size?: number
}

export interface ReadOptions {
  path: string
  /** sequence numbers: the first one, and the one after the last */
  from?: number
  to?: number
}

export interface GetOptions {
  path: string
  /** txid, 64 hex */
  hash: string
  /** the id of the entry, where a transaction may have several: `post` returns it, and events have it */
  id?: string
}

/** A transaction that a payment spends from, directly or through others, as the payment's wallet has sent it along. */
export interface AncestorTransaction {
  /** txid, 64 hex */
  hash: string
  /** the raw transaction, hex */
  transaction: string
  /** BUMPs (BRC-74) that it is in a block, hex. Each is right in itself; whether its root is that of a block, nobody has checked */
  proofs: string[]
}

/** `ancestors` looks for this many transactions. */
const MAX_ANCESTORS = 2_000

function isHash(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-fA-F]{64}$/.test(text)
}

/** As in `underpool`. */
export interface PruneOptions {
  /** true, or left out: the old entries are archived. A number of archives to keep is refused, since a ledger deletes nothing */
  archive?: boolean
}

function shownKinds(kinds: Kinds = ['tx']): (kind: Entry['kind']) => boolean {
  if (kinds === 'all') return () => true
  const shown = new Set<string>(Array.isArray(kinds) ? kinds : [])
  if (!shown.size || [...shown].some((kind) => !KINDS.includes(kind as Kind)))
    throw new OverpoolError('BAD_ARGUMENT', `kinds is 'all', or a list of ${KINDS.join(', ')}`)
  return (kind) => shown.has(kind)
}

export interface LedgerPoolsDeps {
  stores: Stores
  ingress: Ingress
  /** shared with a door of this process */
  copies?: Copies
  clock: Clock
  settings: (path: string) => CheckedSettings
  /** whether the machine has a broadcaster, as far as this process knows */
  broadcasts?: boolean
  /** its invoices; undefined: this process makes none */
  invoicing?: Pick<InvoicesDeps, 'invoicing' | 'base'>
  /** called with the failure of a post inside a handler, which the handler may not notice */
  postFailed: (error: unknown) => void
}

/** The pools of a machine over its ports: post, get, tail, read, trail, prune. */
export class LedgerPools {
  readonly #deps: LedgerPoolsDeps
  readonly #copies: Copies
  /** this program's newest posts, by pool, until they are seen in the ledger */
  readonly #ownPosts = new Map<string, Set<Accepted>>()

  constructor(deps: LedgerPoolsDeps) {
    this.#deps = deps
    this.#copies = deps.copies ?? new Copies(deps.stores.receipts, deps.ingress)
  }

  /** Whether the machine has a broadcaster, as far as this process knows. */
  get broadcasts(): boolean {
    return this.#deps.broadcasts ?? false
  }

  /** Its invoices. @throws OverpoolError BAD_CONFIG: this machine has no invoices */
  get invoices(): InvoiceDesk {
    const { invoicing, ingress } = this.#deps
    if (invoicing)
      return new InvoiceDesk({
        ...invoicing,
        tell: (post) => enqueue(post, ingress),
        hops: async (path, poster) => hopsOf(this.#doorOf(await this.#own(path)), poster),
        own: async (path) => this.#asking(await this.#own(path)),
      })
    throw new OverpoolError(
      'BAD_CONFIG',
      'this machine on AWS has no invoices: set `receive` in its config to the xpub of your wallet, or `request` of a pool, and deploy again',
    )
  }

  /** A pool that can have invoices. */
  #asking({ path, settings }: PoolControl): string {
    if (this.#deps.settings(path).unique !== 'transaction' && settings?.unique !== 'transaction') return path
    throw new OverpoolError(
      'BAD_CONFIG',
      `each payment of an invoice needs an entry of its own, and "${path}" has unique: 'transaction': leave that out, or take another pool`,
    )
  }

  /** Makes an invoice as the calling code: inside a handler the same one again when it runs again. */
  readonly invoice: InvoiceCalls = invoiceCalls(
    (options) =>
      asPoster(
        options,
        async (poster) => this.invoices.makeAs(poster, checkInvoice(options)),
        (error) => this.#deps.postFailed(error),
      ),
    (options) =>
      asPoster(
        options,
        async (poster) => this.invoices.cancelAs(poster, options),
        (error) => this.#deps.postFailed(error),
      ),
    async (ask) => ask(this.invoices),
  )

  /**
   * Posts a payment; resolves when it is durable (Promise 2). Each call is a new entry, unless `id` names it, or a handler makes it: a second run of the handler on the
   * same entry posts nothing new (Promise 3).
   * @throws OverpoolError BAD_TRANSACTION, BAD_PAYMENT, POOL_NOT_FOUND, FILTER_REFUSED, FILTER_SILENT, LOOP_TOO_DEEP, UNAVAILABLE
   */
  post(options: PostOptions): Promise<Posted> {
    return asPoster(options, async (poster) => this.postAs(poster, checkPost(options)), this.#deps.postFailed)
  }

  async postAs(poster: Poster, { path, payment }: CheckedPost): Promise<Posted> {
    const { ingress, clock, stores } = this.#deps
    const pool = await this.#own(path)
    const door = this.#doorOf(pool)
    const { id, hash, key } = await accept(door, payment, poster, {
      ingress,
      now: clock.now,
      copies: this.#copies,
      ancestors: stores.ancestors,
    })
    this.#note(pool.path, { key, id, hash })
    return { payment: { transaction: hex(payment.scanned.bytes), ...payment.fields }, hash, id }
  }

  #doorOf({ path, halted }: PoolControl): PoolDoor {
    return { path, ...this.#deps.settings(path), ...(halted !== undefined && { halted }) }
  }

  /** A pool of this machine. */
  async #own(path: unknown): Promise<PoolControl> {
    const pool = await this.control(path)
    if (pool.kind === 'own') return pool
    throw new OverpoolError(
      'POOL_READ_ONLY',
      pool.kind === 'chain'
        ? `the entries of "${pool.path}" come from the chain: post to another pool of this machine`
        : `${pool.path} is a peer's pool: only its publisher can post to it. Post to a pool of this machine, which they can subscribe to`,
    )
  }

  /**
   * Asks for transactions to be broadcast, in this order; resolves when the request is durable. The broadcaster then hands them to the network, and what becomes of each is
   * recorded in the pool. Inside a handler the request is made once, however often the handler runs.
   * @throws OverpoolError BAD_ARGUMENT, BAD_TRANSACTION, POOL_NOT_FOUND, POOL_READ_ONLY, ENTRY_NOT_FOUND, NO_BROADCASTER, UNAVAILABLE
   */
  broadcast(what: Broadcastable | readonly Broadcastable[], options?: BroadcastOptions): Promise<Broadcast> {
    return asPoster(options, async (poster) => this.broadcastAs(poster, checkBroadcast(what, options)), this.#deps.postFailed)
  }

  async broadcastAs(poster: Poster, { path, of }: CheckedBroadcast): Promise<Broadcast> {
    const { ingress, clock, broadcasts, stores } = this.#deps
    if (!broadcasts)
      throw new OverpoolError(
        'NO_BROADCASTER',
        "nobody takes transactions of this machine to Bitcoin: set bitcoin: { network: 'main' } in overpool.config.ts, or new Overpool({ bitcoin: … }); on another network, name a node or a service in bitcoin.broadcast as well",
      )
    const pool = await this.#own(path ?? (await this.#poolFor(of)))
    const committed: Committed[] = []
    const hashes: string[] = []
    for (const one of of) {
      if ('scanned' in one) {
        if (one.along) await stores.ancestors.put(one.along)
        hashes.push(one.scanned.txid)
        committed.push({ tx: one.scanned.bytes })
        continue
      }
      hashes.push(one.txid)
      const entry = one.seq === undefined ? await this.get({ path: one.path, hash: one.txid }) : undefined
      const seq = one.seq ?? entry!.seq
      committed.push(one.path === pool.path ? { txid: one.txid, seq } : { tx: one.tx ?? hexBytes(entry!.payment.transaction) })
    }
    const door = this.#doorOf(pool)
    const id = await acceptCommit(door, committed, poster, { ingress, now: clock.now })
    return { path: pool.path, id, hashes }
  }

  /** The pool that keeps a request which names none: that of its first entry, or of the entry that the handler runs on. */
  async #poolFor(of: CheckedBroadcast['of']): Promise<string> {
    const named = of.flatMap((one) => ('path' in one ? [one.path] : []))
    const running = handlerContext.getStore()?.pool
    for (const path of [...named, ...(running === undefined ? [] : [running])]) if ((await this.control(path)).kind === 'own') return path
    throw new OverpoolError('BAD_ARGUMENT', 'say which pool of this machine keeps the request: broadcast(…, { path: … })')
  }

  /** The oldest entry of a transaction, or the one with this id; ENTRY_NOT_FOUND if there is none. */
  async get(options: GetOptions): Promise<TxEvent> {
    const { path, hash, id } = optionsOf(options, 'get')
    const pool = await this.control(path)
    if (!isHash(hash)) throw new OverpoolError('BAD_ARGUMENT', 'hash is a txid of 64 hex characters')
    if (id !== undefined && !isHash(id)) throw new OverpoolError('BAD_ARGUMENT', 'id is that of an entry, 64 hex characters')
    const txid = hash.toLowerCase()
    const { receipts } = this.#deps.stores
    const find = async () => {
      if (id === undefined) return (await receipts.ofTransaction(pool.path, txid))[0]?.seq
      const found = await receipts.find(pool.path, [
        { key: id, id },
        { key: txid, id },
      ] as ReceiptKey[])
      return found.find((receipt) => receipt !== undefined)?.seq
    }
    let seq = await find()
    if (seq === undefined) {
      await this.#awaitOwnPosts(pool.path)
      seq = await find()
    }
    if (seq === undefined) {
      await this.#drained() // it may be a wallet's post that is not in the ledger yet
      const { checkpoint } = await this.control(pool.path)
      seq = (await find()) ?? (await this.#findFrom(checkpoint, pool.path, txid, id))
    }
    if (seq === undefined)
      throw new OverpoolError(
        'ENTRY_NOT_FOUND',
        `no transaction ${txid}${id === undefined ? '' : ` with the entry id ${id}`} in "${pool.path}"`,
      )
    const event = await this.#event(pool, seq)
    if (event?.kind === 'tx') return event
    throw new OverpoolError(
      'BAD_BLOCK',
      `the receipt of ${txid} in "${pool.path}" points to entry ${seq}, which is missing or is no transaction`,
    )
  }

  /** The first entry of a transaction, or the one with this id, in block n or later. Receipts are written a moment after their block, so the newest blocks are searched. */
  async #findFrom(n: number, path: string, txid: string, id?: string): Promise<number | undefined> {
    const { stores } = this.#deps
    for (let blocks = await stores.blocks.read(path, n); blocks.length; blocks = await stores.blocks.read(path, n)) {
      for (const block of blocks) {
        const place = entriesOf(block).findIndex(
          (entry) => entry.kind === 'tx' && (id === undefined || entry.id === id) && scanTransaction(entry.tx).txid === txid,
        )
        if (place >= 0) return block.first + place
      }
      n += blocks.length
    }
    return undefined
  }

  /** The newest entries of these kinds, oldest first. */
  tail(options: TailOptions): Promise<TxEvent[]>
  tail<K extends Kinds>(options: TailOptions & { kinds: K }): Promise<EventOfKinds<K>[]>
  async tail(options: TailOptions & { kinds?: Kinds }): Promise<LedgerEvent[]> {
    return this.#newest(options, (event) => event)
  }

  /** The sequence number at which the newest entries begin that `tail` returns: to read large ones one after the other. */
  async tailStart(options: TailOptions & { kinds?: Kinds }): Promise<number> {
    const [first] = await this.#newest(options, ({ seq }) => seq)
    return first ?? this.length(options.path)
  }

  async #newest<T>(options: TailOptions & { kinds?: Kinds }, take: (event: LedgerEvent) => T): Promise<T[]> {
    const { path, size = TAIL_SIZE, kinds } = optionsOf(options, 'tail')
    const pool = await this.control(path)
    if (!isUint(size)) throw new OverpoolError('BAD_ARGUMENT', 'size is the number of entries: 0, 1, 2 …')
    const shows = shownKinds(kinds)
    await this.#awaitOwnPosts(pool.path)
    let taken: T[] = []
    // Entries of other kinds may lie between: it looks further back, a page at a time.
    let to = await this.length(pool.path)
    for (let missing = size; missing > 0 && to > pool.prunedBefore; missing = size - taken.length) {
      const from = Math.max(pool.prunedBefore, to - (taken.length || to < size ? Math.max(missing, TAIL_PAGE) : missing))
      const page = await Array.fromAsync(this.#events(pool, from, to, shows), take)
      taken = [...page, ...taken]
      to = from
    }
    return taken.slice(Math.max(0, taken.length - size))
  }

  /** The entries from `from` (default: the first) up to, and without, `to` (default: the end as it is when reached). */
  read(options: ReadOptions): AsyncGenerator<TxEvent, void>
  read<K extends Kinds>(options: ReadOptions & { kinds: K }): AsyncGenerator<EventOfKinds<K>, void>
  async *read(options: ReadOptions & { kinds?: Kinds }): AsyncGenerator<LedgerEvent, void> {
    const { path, from = 0, to = Number.MAX_SAFE_INTEGER, kinds } = optionsOf(options, 'read')
    const pool = await this.control(path)
    if (!isUint(from) || !isUint(to)) throw new OverpoolError('BAD_ARGUMENT', 'from and to are sequence numbers: 0, 1, 2 …')
    const shows = shownKinds(kinds)
    await this.#awaitOwnPosts(pool.path)
    yield* this.#events(pool, Math.max(pool.prunedBefore, from), to, shows)
  }

  /**
   * The entry of a transaction, then its cause, and so on back to where the loop began, or as far as this machine has the entries: in its own pools and its
   * subscriptions.
   */
  async *trail(options: { path: string; hash: string }): AsyncGenerator<TxEvent, void> {
    const seen = new Set<string>()
    let event: LedgerEvent | undefined = await this.get(options)
    while (event) {
      if (event.kind === 'tx') yield event
      seen.add(`${event.key}#${event.seq}`)
      const { cause }: LedgerEvent = event
      if (!cause || seen.has(`${cause.key}#${cause.seq}`)) return // a peer may claim that an entry is its own cause
      event = await this.#at(cause)
    }
  }

  async #at({ key, seq }: Cause): Promise<LedgerEvent | undefined> {
    const pool = (await this.list()).find((each) => each.key === key)
    return pool && this.#event(pool, seq)
  }

  async #event(pool: PoolControl, seq: number): Promise<LedgerEvent | undefined> {
    const block = await this.#deps.stores.blocks.find(pool.path, seq)
    const entry = block && entryAt(block, seq - block.first)
    if (!entry) return undefined
    const [status] = entry.kind === 'tx' ? await this.#statuses(pool, [entry]) : []
    return eventOf(pool, seq, entry, status)
  }

  /** The newest statuses of the transactions among these entries, by place. */
  async #statuses({ path, kind, hasStatuses, checkpoint }: PoolControl, entries: Entry[]): Promise<(KeptStatus | undefined)[]> {
    if (!hasStatuses) return []
    const txids = entries.map((entry) => (entry.kind === 'tx' ? scanTransaction(entry.tx).txid : undefined))
    const { statuses } = this.#deps.stores
    const found = await statuses.newest(
      path,
      txids.filter((txid) => txid !== undefined),
    )
    const byTxid = new Map(found.flatMap((status) => (status ? [[status.txid, status] as const] : [])))
    for await (const status of this.#statusesFrom(checkpoint, path, kind)) byTxid.set(status.txid, status)
    return txids.map((txid) => (txid === undefined ? undefined : byTxid.get(txid)))
  }

  /** What the blocks from number n on say about statuses: it is noted a moment after they are written. */
  async *#statusesFrom(n: number, path: string, kind: PoolControl['kind']): AsyncGenerator<KeptStatus, void> {
    const { blocks: stored } = this.#deps.stores
    for (let blocks = await stored.read(path, n); blocks.length; blocks = await stored.read(path, n)) {
      for (const block of blocks)
        for (const [i, entry] of scanEntries(entriesOf(block)).entries()) {
          const { status } = kind === 'peer' ? asHeard(entry) : entry
          if (status) yield { ...status, seq: block.first + i }
        }
      n += blocks.length
    }
  }

  async state(options: StateOptions): Promise<StateView> {
    const { stores, clock } = this.#deps
    return viewOf(optionsOf(options, 'state') as StateOptions, stores, clock)
  }

  /** What a transaction of a pool spends from, and what that spends from in turn, as far as wallets have sent it along (BEEF): parents before children. */
  async ancestors(options: { path: string; hash: string }): Promise<AncestorTransaction[]> {
    const { ancestors } = this.#deps.stores
    const { payment } = await this.get(options)
    const found: AncestorTransaction[] = []
    const seen = new Set<string>()
    const find = async (child: ScannedTransaction): Promise<void> => {
      for (const { txid } of child.readInputs()) {
        if (seen.has(txid) || seen.size >= MAX_ANCESTORS) continue
        seen.add(txid)
        const parent = await findAncestor(ancestors, txid)
        if (!parent) continue
        await find(parent)
        found.push({ hash: txid, transaction: hex(parent.bytes), proofs: (await ancestors.proofs(txid)).map(hex) })
      }
    }
    await find(scanTransaction(hexBytes(payment.transaction)))
    return found
  }

  /** Archives the entries of a pool: `tail` and `read` begin after them, `get` still finds them. */
  async prune(pool: string | { path: string }, options?: PruneOptions): Promise<void> {
    const { archive = true } = optionsOf(options, 'prune(…, { archive })')
    if (archive !== true)
      throw new OverpoolError(
        'BAD_ARGUMENT',
        'a pool is an append-only ledger: prune archives its entries and deletes none. Leave `archive` out, or set it to true',
      )
    const { path } = await this.control(typeof pool === 'string' ? pool : optionsOf(pool, 'prune').path)
    await this.#awaitOwnPosts(path)
    await this.#deps.stores.control.update(path, { prunedBefore: await this.length(path) })
  }

  /** The control item of a pool, or POOL_NOT_FOUND. */
  control(path: unknown): Promise<PoolControl> {
    return findPool(this.#deps.stores.control, path)
  }

  /** The pools of the machine, without those in which it keeps the chain for itself. */
  async list(): Promise<PoolControl[]> {
    return (await this.#deps.stores.control.list()).filter(({ path }) => shardOfChainPool(path) === undefined)
  }

  /** The pools in which the machine keeps the blocks of the chain that it has followed, one for each shard; none if it has not reached the chain. */
  async chain(): Promise<PoolControl[]> {
    return (await this.#deps.stores.control.list()).filter(({ path }) => shardOfChainPool(path) !== undefined)
  }

  /** How many entries a pool has. */
  async length(path: string): Promise<number> {
    return (await this.size(path)).entries
  }

  async size(path: string): Promise<{ blocks: number; entries: number }> {
    return lengthOf(await this.#deps.stores.blocks.last(path))
  }

  async *#events(pool: PoolControl, from: number, to: number, shows: (kind: Entry['kind']) => boolean): AsyncGenerator<LedgerEvent, void> {
    const { stores } = this.#deps
    let n = from < to ? await this.#blockOf(pool, from) : undefined
    while (n !== undefined) {
      const blocks = await stores.blocks.read(pool.path, n)
      for (const block of blocks) {
        if (block.first >= to) return
        const entries = entriesOf(block)
        const statuses = await this.#statuses(pool, entries)
        for (const [i, entry] of entries.entries()) {
          const seq = block.first + i
          if (seq >= from && seq < to && shows(entry.kind)) yield eventOf(pool, seq, entry, statuses[i])
        }
      }
      n = blocks.length ? n + blocks.length : undefined
    }
  }

  /** The first block that has this entry or a later one. A peer's log may lack entries: before the start of the subscription, and where a block was passed over. */
  async #blockOf({ path, begins }: PoolControl, seq: number): Promise<number | undefined> {
    const { stores } = this.#deps
    const block = await stores.blocks.find(path, seq)
    if (block) return block.n
    const last = await stores.blocks.last(path)
    if (!last || last.first + last.count <= seq) return undefined
    let low = begins?.block ?? 0
    for (let high = last.n; low < high; ) {
      const middle = (low + high) >> 1
      const [{ first, count }] = (await stores.blocks.read(path, middle, 1)) as [Block]
      if (first + count > seq) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Waits, for a while, until this program's own posts are in the ledger: it reads its own writes. */
  async #awaitOwnPosts(path: string): Promise<void> {
    const { stores, clock, settings } = this.#deps
    const posts = this.#ownPosts.get(path)
    if (!posts) return
    // Where a transaction is one entry, that of another poster may stand for ours.
    const isUnique = settings(path).unique === 'transaction'
    const ofTransaction = async ({ hash }: Accepted) => (await stores.receipts.ofTransaction(path, hash))[0]
    const begin = clock.elapsed()
    for (let asked = [...posts]; asked.length; asked = asked.filter((post) => posts.has(post))) {
      const found = isUnique ? await Promise.all(asked.map(ofTransaction)) : await stores.receipts.find(path, asked)
      const late = !timeLeft(clock, begin, OWN_POSTS_MS)
      for (const [i, post] of asked.entries()) if (found[i] || late) posts.delete(post)
      if (found.includes(undefined) && !late) await clock.sleep(LOOK_MS)
    }
  }

  #note(path: string, post: Accepted): void {
    const posts = this.#ownPosts.get(path) ?? new Set()
    this.#ownPosts.set(path, posts.add(post))
    for (const oldest of posts) if (posts.size > MAX_OWN_POSTS) posts.delete(oldest)
  }

  /** Waits, for a while, until the ingress queue is empty. */
  async #drained(): Promise<void> {
    const { ingress, clock } = this.#deps
    const begin = clock.elapsed()
    while (timeLeft(clock, begin, OWN_POSTS_MS)) {
      const { waiting, inFlight } = await ingress.depth()
      if (waiting + inFlight === 0) return
      await clock.sleep(LOOK_MS)
    }
  }
}
