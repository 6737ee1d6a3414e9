import { createHash } from 'node:crypto'
import { OverpoolError } from '../../shared/errors.ts'
import { type Block, decodeBlock } from '../../shared/ledger/block.ts'
import type { Entry } from '../../shared/ledger/kinds.ts'
import { isOpen, type KeptStatus } from '../../shared/ledger/status.ts'
import type { Message, Outgoing, Queue, ReceiveOptions } from '../../shared/queue/port.ts'
import { damagedBlock } from '../../shared/store/checksum.ts'
import type { NewPool, PoolControl, PoolPatch } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import { type Cursor, type DeadLetter, type Move, NO_CURSOR } from '../../shared/store/progress.ts'
import type { Receipt } from '../../shared/store/receipts.ts'
import type { StateCommit } from '../../shared/store/state.ts'
import { MAX_STATUSES } from '../../shared/store/statuses.ts'
import type { PoolCore } from '../../sidecar/cores/core.ts'
import { MemoryInvoices } from './invoices.ts'
import type { Held, Scheduler, Sync } from './scheduler.ts'
import { MemoryState } from './state.ts'

/** SQS drops a repeated deduplication id within this time. */
const DEDUPE_MS = 5 * 60_000

/** Called with a description of the law that was broken. */
export type Broken = (what: string) => void

/** Restores the state that a service had when this function was made. */
export type Restore = () => void

/** The stores, with methods that answer at once. */
type SyncStores = { [Port in keyof Stores]: Sync<Stores[Port]> }

interface PoolState {
  control: PoolControl
  blocks: Block[]
  /** the entries of all blocks, by sequence number */
  entries: Entry[]
  /** by key and id */
  receipts: Map<string, Receipt>
  /** the newest one of each transaction */
  statuses: Map<string, KeptStatus>
  /** when it was written, by txid, ms since 1970 */
  statusAt: Map<string, number>
}

/** The stores in memory. They check the laws on writes, and report each write that breaks one. */
export class MemoryStores implements SyncStores {
  readonly blocks: SyncStores['blocks'] = {
    putAll: (...args) => this.#putBlocks(...args),
    put: (...args) => this.#putBlock(...args),
    read: (...args) => this.#readBlocks(...args),
    last: (...args) => this.#lastBlock(...args),
    find: (...args) => this.#findBlock(...args),
    damaged: (pool, n, cause) => damagedBlock(pool, n, cause), // no block is ever damaged here
    inspect: () => [],
    replace: () => {},
    lose: () => undefined,
  }
  readonly receipts: SyncStores['receipts'] = {
    put: (...args) => this.#putReceipts(...args),
    find: (...args) => this.#findReceipts(...args),
    ofTransaction: (...args) => this.#receiptsOf(...args),
    oldest: (path, txids) => txids.map((txid) => this.#receiptsOf(path, txid)[0]),
  }
  readonly statuses: SyncStores['statuses'] = {
    put: (...args) => this.#putStatuses(...args),
    newest: (path, txids) => txids.map((txid) => this.pool(path).statuses.get(txid)),
    open: (path, after) => this.#statusesOf(path, after, isOpen),
    minedIn: (path, blockHash, after) => this.#statusesOf(path, after, (status) => status.blockHash === blockHash),
    forget: (path) => this.pool(path).statuses.clear(),
  }
  readonly control: SyncStores['control'] = {
    create: (...args) => this.#createPool(...args),
    read: (...args) => this.#readPool(...args),
    list: (...args) => this.#listPools(...args),
    update: (...args) => this.#updatePool(...args),
    beginAnew: (path) => this.#beginAnew(path),
  }
  readonly progress: SyncStores['progress'] = {
    readCursor: (...args) => this.#readCursor(...args),
    writeCursor: (...args) => this.#writeCursor(...args),
    commit: (...args) => this.#commitState(...args),
    askRedrive: (...args) => this.#askRedrive(...args),
    endRedrive: (...args) => this.#endRedrive(...args),
    setPaused: (...args) => this.#setPaused(...args),
    listHandlers: (...args) => this.#listHandlers(...args),
    putDead: (...args) => this.#putDead(...args),
    updateDead: (...args) => this.#updateDead(...args),
    listDead: (...args) => this.#listDead(...args),
    deleteDead: (...args) => this.#deleteDead(...args),
  }
  readonly state = new MemoryState()
  readonly leases: SyncStores['leases'] = {
    take: () => true,
    release: () => {},
  }
  /** no payment here comes with any */
  readonly ancestors: SyncStores['ancestors'] = {
    put: () => {},
    transaction: () => undefined,
    spent: () => undefined,
    proofs: () => [],
  }
  readonly invoices = new MemoryInvoices()
  readonly pools = new Map<string, PoolState>()
  readonly cursors = new Map<string, Cursor>()
  readonly dead = new Map<string, Map<number, DeadLetter>>()
  /** every entry that was ever given up, as `handler pool seq` */
  readonly givenUp = new Set<string>()
  readonly #scheduler: Scheduler
  readonly #broken: Broken

  constructor(scheduler: Scheduler, broken: Broken) {
    this.#scheduler = scheduler
    this.#broken = broken
  }

  /** Takes a snapshot, which the returned function restores. */
  note(): Restore {
    const pools = [...this.pools].map(([path, { control, blocks, entries, receipts, statuses, statusAt }]): [string, PoolState] => [
      path,
      {
        control: { ...control },
        blocks: [...blocks],
        entries: [...entries],
        receipts: new Map(receipts),
        statuses: new Map(statuses),
        statusAt: new Map(statusAt),
      },
    ])
    const cursors = [...this.cursors]
    const invoices = this.invoices.snapshot()
    const state = this.state.note()
    const dead = [...this.dead].map(([key, letters]): [string, Map<number, DeadLetter>] => [key, new Map(letters)])
    return () => {
      refill(this.pools, pools)
      refill(this.cursors, cursors)
      refill(this.dead, dead)
      invoices()
      state()
    }
  }

  pool(path: string): PoolState {
    const pool = this.pools.get(path)
    if (!pool) throw new OverpoolError('POOL_NOT_FOUND', path)
    return pool
  }

  #putBlock(path: string, block: Block): Block {
    const { blocks, entries } = this.pool(path)
    const stands = blocks[block.n]
    if (stands) return stands
    if (block.n !== blocks.length || block.first !== entries.length) this.#broken(`block ${block.n} of ${path} is not the next one`)
    const added = decodeBlock(block.bytes).entries
    for (const { id } of added) if (entries.some((entry) => entry.id === id)) this.#broken(`an id is in the ledger twice: ${id} in ${path}`)
    if (new Set(added.map(({ id }) => id)).size < added.length) this.#broken(`an id is in the ledger twice: in block ${block.n} of ${path}`)
    blocks.push(block)
    entries.push(...added)
    return block
  }

  #putBlocks(path: string, blocks: Block[]): Block[] {
    return blocks.map((block) => this.#putBlock(path, block))
  }

  #readBlocks(path: string, from: number, limit = 64): Block[] {
    return this.pool(path).blocks.slice(from, from + 1 + this.#scheduler.below(limit))
  }

  #lastBlock(path: string): Block | undefined {
    return this.pool(path).blocks.at(-1)
  }

  #findBlock(path: string, seq: number): Block | undefined {
    return this.pool(path).blocks.find(({ first, count }) => first <= seq && seq < first + count)
  }

  #putReceipts(path: string, receipts: Receipt[]): void {
    const pool = this.pool(path)
    for (const receipt of receipts) {
      if (pool.entries[receipt.seq]?.id !== receipt.id)
        this.#broken(`a receipt of ${path} points to entry ${receipt.seq}, which is another one`)
      pool.receipts.set(`${receipt.key} ${receipt.id}`, receipt)
    }
  }

  /** Whether every entry of the blocks before number `end` has its receipt. */
  hasReceipts(path: string, end: number): boolean {
    const { blocks, entries, receipts } = this.pool(path)
    const last = blocks[end - 1]
    const ids = new Set([...receipts.values()].map(({ id }) => id))
    return entries.slice(0, last ? last.first + last.count : 0).every(({ id }) => ids.has(id))
  }

  #findReceipts(path: string, wanted: Pick<Receipt, 'key' | 'id'>[]): (Receipt | undefined)[] {
    const { receipts } = this.pool(path)
    return wanted.map(({ key, id }) => receipts.get(`${key} ${id}`))
  }

  #receiptsOf(path: string, txid: string): Receipt[] {
    return [...this.pool(path).receipts.values()].filter(({ key }) => key === txid).sort((a, b) => a.seq - b.seq)
  }

  #putStatuses(path: string, statuses: KeptStatus[]): void {
    const pool = this.pool(path)
    for (const status of statuses) {
      const stands = pool.statuses.get(status.txid)
      if (stands && stands.seq >= status.seq) continue
      pool.statuses.set(status.txid, status)
      pool.statusAt.set(status.txid, this.#scheduler.now)
    }
  }

  #statusesOf(path: string, after = '', wanted: (status: KeptStatus) => boolean): KeptStatus[] {
    const all = [...this.pool(path).statuses.values()].filter((status) => status.txid > after && wanted(status))
    return all.sort((a, b) => (a.txid < b.txid ? -1 : 1)).slice(0, MAX_STATUSES)
  }

  #createPool(pool: NewPool): PoolControl {
    const control = { ...pool, checkpoint: 0, coreLength: 0, prunedBefore: 0 }
    this.pools.set(pool.path, { control, blocks: [], entries: [], receipts: new Map(), statuses: new Map(), statusAt: new Map() })
    return control
  }

  #readPool(path: string): PoolControl | undefined {
    const control = this.pools.get(path)?.control
    return control && { ...control }
  }

  #listPools(): PoolControl[] {
    return [...this.pools.values()].map(({ control }) => ({ ...control }))
  }

  #updatePool(path: string, { checkpoint, coreLength, treeHash, ...rest }: PoolPatch): void {
    const { control, blocks } = this.pool(path)
    if (checkpoint !== undefined) {
      if (checkpoint > blocks.length || !this.hasReceipts(path, checkpoint))
        this.#broken(`the checkpoint of ${path} is past what has had its effects`)
      control.checkpoint = Math.max(control.checkpoint, checkpoint)
    }
    if (coreLength !== undefined && coreLength >= control.coreLength) Object.assign(control, { coreLength, treeHash })
    Object.assign(control, rest)
  }

  #beginAnew(path: string): never {
    throw new Error(`no schedule asks for a rebuild of ${path}`)
  }

  #readCursor(handler: string, path: string): Cursor {
    const version = this.state.version(handler, path)
    return { ...(this.cursors.get(`${handler} ${path}`) ?? NO_CURSOR), ...(version && { version }) }
  }

  #writeCursor(handler: string, path: string, { seq, block, attempts, begun, stopped }: Cursor): void {
    const { redrive, redriveSome, paused, pausedAt, ...stands } = this.#readCursor(handler, path)
    if (seq < stands.seq) return
    this.cursors.set(`${handler} ${path}`, { seq, block, attempts, begun, stopped, redrive, redriveSome, paused, pausedAt })
  }

  #commitState(handler: string, path: string, of: Move | number | undefined, commit: StateCommit): boolean {
    if (this.state.version(handler, commit.scope) !== commit.version) return false
    if (typeof of === 'number') this.#deleteDead(handler, path, of)
    else if (of) {
      if (this.#readCursor(handler, path).seq !== of.from) return false
      this.#writeCursor(handler, path, of.to)
      for (const seq of of.handled ?? []) this.#deleteDead(handler, path, seq)
      if (of.givenUp) this.#putDead(handler, path, of.givenUp)
    }
    this.state.change(handler, commit)
    return true
  }

  #askRedrive(handler: string, path: string, at: number, seqs?: readonly number[]): void {
    const stands = this.#readCursor(handler, path)
    const field = seqs ? 'redriveSome' : 'redrive'
    for (const seq of seqs ?? []) {
      const letter = this.#letters(handler, path).get(seq)
      if (letter) this.#letters(handler, path).set(seq, { ...letter, asked: at })
    }
    this.cursors.set(`${handler} ${path}`, { ...stands, [field]: Math.max(at, stands[field] ?? 0) })
  }

  #endRedrive(handler: string, path: string, done: Pick<Cursor, 'redrive' | 'redriveSome'>): void {
    const cursor = this.#readCursor(handler, path)
    for (const field of ['redrive', 'redriveSome'] as const)
      if ((cursor[field] ?? Number.POSITIVE_INFINITY) <= (done[field] ?? -1)) delete cursor[field]
    this.cursors.set(`${handler} ${path}`, cursor)
  }

  #setPaused(handler: string, path: string, paused: { reason: string; at: number } | undefined): void {
    this.cursors.set(`${handler} ${path}`, { ...this.#readCursor(handler, path), paused: paused?.reason, pausedAt: paused?.at })
  }

  #listHandlers(path: string): string[] {
    return [...this.cursors.keys()].flatMap((key) => (key.endsWith(` ${path}`) ? [key.split(' ')[0]!] : []))
  }

  #letters(handler: string, path: string): Map<number, DeadLetter> {
    const key = `${handler} ${path}`
    let letters = this.dead.get(key)
    if (!letters) this.dead.set(key, (letters = new Map()))
    return letters
  }

  #putDead(handler: string, path: string, letter: DeadLetter): void {
    this.givenUp.add(`${handler} ${path} ${letter.seq}`)
    this.#letters(handler, path).set(letter.seq, letter)
  }

  #updateDead(handler: string, path: string, letter: DeadLetter): void {
    if (this.#letters(handler, path).has(letter.seq)) this.#putDead(handler, path, letter)
  }

  #listDead(handler: string, path: string): DeadLetter[] {
    return [...this.#letters(handler, path).values()].sort((a, b) => a.seq - b.seq)
  }

  #deleteDead(handler: string, path: string, seq: number): void {
    this.#letters(handler, path).delete(seq)
  }
}

function refill<K, V>(map: Map<K, V>, entries: Iterable<[K, V]>): void {
  map.clear()
  for (const [key, value] of entries) map.set(key, value)
}

interface Row {
  body: Uint8Array
  group: string | undefined
  visible: number
  receives: number
  handle: string
}

export interface QueueOptions {
  fifo: boolean
  visibilityMs: number
  /** called with each message that is sent */
  sent?: (message: Outgoing) => void
  /** called with each message that is deleted */
  deleted?: (body: Uint8Array) => void
}

/** A queue in memory, with the faults of its kind: a standard queue delivers some messages twice; a FIFO queue (of bells) loses some or changes their order. */
export class MemoryQueue implements Sync<Queue> {
  /** messages that were received once more */
  again = 0
  readonly fifo: boolean
  readonly rows: Row[] = []
  readonly #scheduler: Scheduler
  readonly #options: QueueOptions
  readonly #seen = new Map<string, number>()
  #handles = 0

  constructor(scheduler: Scheduler, options: QueueOptions) {
    this.#scheduler = scheduler
    this.fifo = options.fifo
    this.#options = options
  }

  /** Takes a snapshot, which the returned function restores. */
  note(): Restore {
    const rows = this.rows.map((row) => ({ ...row }))
    const seen = [...this.#seen]
    return () => {
      this.rows.splice(0, this.rows.length, ...rows)
      refill(this.#seen, seen)
    }
  }

  send(messages: Outgoing[]): void {
    const { now } = this.#scheduler
    for (const message of messages) this.#options.sent?.(message)
    for (const { body, group, dedupe } of messages) {
      if (this.fifo && dedupe !== undefined) {
        if ((this.#seen.get(dedupe) ?? 0) > now) continue
        this.#seen.set(dedupe, now + DEDUPE_MS)
      }
      if (this.fifo && this.#scheduler.fault(0.1)) continue
      const place = this.fifo && this.#scheduler.fault(0.1) ? this.#scheduler.below(this.rows.length + 1) : this.rows.length
      this.rows.splice(place, 0, { body, group, visible: now, receives: 0, handle: '' })
    }
  }

  /** The condition for which a receive waits. */
  hold({ waitMs, signal }: ReceiveOptions): Held {
    const end = this.#scheduler.now + waitMs
    return {
      ready: () => signal?.aborted || this.#scheduler.now >= end || this.#due().length > 0,
      at: () => Math.min(end, ...this.rows.flatMap(({ visible }) => (visible > this.#scheduler.now ? [visible] : []))),
    }
  }

  #due(): Row[] {
    const { now } = this.#scheduler
    const busy = new Set(this.fifo ? this.rows.flatMap(({ visible, group }) => (visible > now ? [group] : [])) : [])
    return this.rows.filter(({ visible, group }) => visible <= now && !(this.fifo && busy.has(group)))
  }

  receive({ max }: ReceiveOptions): Message[] {
    const { now } = this.#scheduler
    let due = this.#due()
    if (this.#scheduler.faulty)
      due = this.fifo ? due.slice(0, 1 + this.#scheduler.below(due.length)) : due.filter(() => this.#scheduler.chance(0.7))
    return due.slice(0, max).map((row) => {
      const twice = !this.fifo && this.#scheduler.fault(0.1)
      row.visible = twice ? now : now + this.#options.visibilityMs
      if (row.receives++) this.again++
      row.handle = String(++this.#handles)
      return { body: row.body, group: row.group, handle: row.handle, receives: row.receives }
    })
  }

  delete(messages: Message[]): void {
    for (const { handle } of messages) {
      const place = this.rows.findIndex((row) => row.handle === handle)
      if (place < 0) continue
      this.#options.deleted?.(this.rows[place]!.body)
      this.rows.splice(place, 1)
    }
  }

  giveBack(messages: Message[], delayMs: number): void {
    for (const { handle } of messages) {
      const row = this.rows.find((row) => row.handle === handle)
      if (row) row.visible = this.#scheduler.now + delayMs
    }
  }

  check(): void {}

  depth(): { waiting: number; inFlight: number } {
    const waiting = this.rows.filter(({ visible }) => visible <= this.#scheduler.now).length
    return { waiting, inFlight: this.rows.length - waiting }
  }
}

/** The disk of a sidecar: the blocks of each core. A disk can be lost, and can lack its newest blocks after a power failure. */
export class Disk {
  readonly #blocks = new Map<string, Uint8Array[]>()

  of(path: string): Uint8Array[] {
    let blocks = this.#blocks.get(path)
    if (!blocks) this.#blocks.set(path, (blocks = []))
    return blocks
  }

  wipe(): void {
    this.#blocks.clear()
  }

  /** Loses the newest blocks of each core, as if they had not been flushed. */
  cut(scheduler: Scheduler): void {
    for (const blocks of this.#blocks.values()) blocks.length -= scheduler.below(Math.min(4, blocks.length + 1))
  }
}

/** A core on a disk. As in the real core, the place is checked when `append` is called; the blocks then go to the end, which may have moved meanwhile. */
export class MemoryCore implements Sync<PoolCore> {
  readonly #path: string
  readonly #blocks: Uint8Array[]
  readonly #stores: MemoryStores
  readonly #broken: Broken

  constructor(path: string, disk: Disk, stores: MemoryStores, broken: Broken) {
    this.#path = path
    this.#blocks = disk.of(path)
    this.#stores = stores
    this.#broken = broken
  }

  get length(): number {
    return this.#blocks.length
  }

  append(_from: number, blocks: Uint8Array[]): void {
    for (const block of blocks) {
      const stands = this.#stores.pool(this.#path).blocks[this.length]
      if (!stands || Buffer.compare(stands.bytes, block) !== 0)
        this.#broken(`the core of ${this.#path} is no prefix of the mirror: block ${this.length}`)
      this.#blocks.push(block)
    }
  }

  has(n: number): boolean {
    return n < this.length
  }

  get(n: number): Uint8Array {
    return this.#blocks[n]!
  }

  treeHash(length = this.length): string {
    return treeHashOf(this.#blocks.slice(0, length))
  }

  tree() {
    const blocks: Uint8Array[] = []
    return {
      add: (block: Uint8Array) => void blocks.push(block),
      get value() {
        return treeHashOf(blocks)
      },
    }
  }

  close(): void {}
}

export function treeHashOf(blocks: Uint8Array[]): string {
  return blocks.reduce((hash, block) => hash.update(block), createHash('sha256')).digest('hex')
}
