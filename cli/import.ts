import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { RemoteMachine } from '../client/remote.ts'
import { checkPayment } from '../shared/bip270/payment.ts'
import { systemClock } from '../shared/clock.ts'
import { messageOf, OverpoolError } from '../shared/errors.ts'
import { entriesOf } from '../shared/ledger/block.ts'
import { encodeEntry } from '../shared/ledger/entry-codec.ts'
import { idOfName } from '../shared/ledger/ids.ts'
import type { Cause, EntryId, Source } from '../shared/ledger/kinds.ts'
import { encodeIngress } from '../shared/ledger/messages.ts'
import { scanEntries } from '../shared/ledger/scanned.ts'
import { isUint } from '../shared/ledger/values.ts'
import type { Stores } from '../shared/store/port.ts'
import { RecentIds } from '../sidecar/writer/recent-ids.ts'
import { type CommandContext, later } from './commands.ts'
import { withMachine } from './machine.ts'
import { count } from './out.ts'

/** Entries that are sent together. */
const BATCH = 64
const SOURCES: readonly unknown[] = ['http', 'api', 'handler'] satisfies Source[]

/** An entry to be imported, with the place in the file that it comes from. */
interface Found {
  place: string
  payment: unknown
  id: EntryId
  at: number
  source: Source
  cause?: Cause
  hops: number
}

/** A line of a tape whose payment's file is missing. */
interface Missing {
  place: string
  file: string
}

interface Imported {
  pool: string
  imported: number
  /** entries that the pool has already */
  there: number
  missing: Missing[]
}

/**
 * Adds entries to a pool: what `export --jsonl` has written, or the folder of a pool of the original Overpool. They keep their ids and times, so a second import adds nothing.
 * @returns whether all of them are there now
 */
export async function importPool(pool: string, from: string, context: CommandContext): Promise<boolean> {
  const found = (path: string) => (isFolder(from) ? tape(path, from) : jsonLines(path, from))
  return addEntries(pool, found, 'imported into', context)
}

/** Adds the entries of a text that `pull` has printed, one a line. @param pool where to; default: the pools that the entries name */
export async function postEntries(pool: string | undefined, text: string, context: CommandContext): Promise<void> {
  const lines = text.split('\n').flatMap((line, i) => (line.trim() ? [{ line, place: `line ${i + 1}` }] : []))
  const byPool = Map.groupBy(lines, ({ line, place }) => pool ?? poolIn(line, place))
  for (const [to, theirs] of byPool) {
    const found = async function* (path: string) {
      for (const { line, place } of theirs) yield foundIn(line, place, path)
    }
    await addEntries(to, found, 'posted to', context)
  }
}

/** The pool that an entry names. */
function poolIn(line: string, place: string): string {
  const { path, id } = jsonIn(line, place)
  if (typeof path === 'string' && isHash(id)) return path
  throw new OverpoolError('BAD_ARGUMENT', `${place} is not an entry as \`overpool pull\` prints it: to post something else, name a pool`)
}

type Entries = (path: string) => AsyncIterable<Found | Missing>

/** @param done the verb of what is said at the end @returns whether all of them are there now */
async function addEntries(pool: string, entries: Entries, done: string, { where, out }: CommandContext): Promise<boolean> {
  return withMachine(where, async (machine) => {
    const { path, kind } = await machine.pools.control(pool)
    if (kind === 'peer') throw new OverpoolError('POOL_READ_ONLY', `${path} is a peer's pool: import into a pool of this machine`)
    const sum: Imported = { pool: path, imported: 0, there: 0, missing: [] }
    const recent = new Recent(path, machine.stores)
    let batch: Found[] = []
    for await (const one of entries(path)) {
      if ('file' in one) sum.missing.push(one)
      else batch.push(one)
      if (batch.length < BATCH) continue
      await send(batch, sum, recent, machine)
      batch = []
    }
    await send(batch, sum, recent, machine)
    const { imported, there, missing } = sum
    out.show(
      sum,
      [
        `${count(imported, 'entry', 'entries')} ${done} ${path}${later(machine)}${there ? `; ${count(there, 'was', 'were')} there already` : ''}`,
        ...missing.map(({ place, file }) => `${place}: there is no file ${file}`),
      ].join('\n'),
    )
    return !missing.length
  })
}

/**
 * The entries of the newest blocks, whose receipts may not be written yet. The writer does not find all of these by their ids later: a post of the API without a name has a
 * receipt under its txid alone.
 */
class Recent {
  readonly #path: string
  readonly #stores: Pick<Stores, 'blocks' | 'control'>
  readonly #ids = new RecentIds()
  #next = 0

  constructor(path: string, stores: Pick<Stores, 'blocks' | 'control'>) {
    this.#path = path
    this.#stores = stores
  }

  /** Forgets the blocks whose receipts are written by now. It comes before these are read. */
  async begin(): Promise<void> {
    const { checkpoint = 0 } = (await this.#stores.control.read(this.#path)) ?? {}
    this.#ids.forget(checkpoint)
    this.#next = Math.max(this.#next, checkpoint)
  }

  /** Reads the blocks that have come since. */
  async readOn(): Promise<void> {
    const { blocks } = this.#stores
    for (let page = await blocks.read(this.#path, this.#next); page.length; page = await blocks.read(this.#path, this.#next))
      for (const block of page) {
        this.#ids.add(block.n, scanEntries(entriesOf(block)))
        this.#next = block.n + 1
      }
  }

  has(id: EntryId): boolean {
    return this.#ids.get(id) !== undefined
  }
}

/** Sends those entries that are not in the pool yet. */
async function send(batch: Found[], done: Imported, recent: Recent, { stores, ingress }: RemoteMachine): Promise<void> {
  const { pool } = done
  const entries = batch.map((found) => {
    try {
      return { ...found, ...checkPayment(found.payment) }
    } catch (cause) {
      throw atPlace(found.place, cause)
    }
  })
  await recent.begin()
  // Every entry before the checkpoint has a receipt under its txid.
  const receipts = await stores.receipts.find(
    pool,
    entries.map(({ id, scanned }) => ({ key: scanned.txid, id })),
  )
  await recent.readOn()
  const fresh = entries.filter(({ id }, i) => receipts[i] === undefined && !recent.has(id))
  if (fresh.length)
    await ingress.send(
      fresh.map(({ id, at, source, cause, hops, scanned: { bytes, txid }, fields }) => {
        const entry = encodeEntry({ kind: 'tx', id, at, source, ...(cause && { cause }), hops, tx: bytes, payment: fields })
        return { body: encodeIngress({ pool, id, txid, named: source !== 'http', entry }), group: pool }
      }),
    )
  done.imported += fresh.length
  done.there += entries.length - fresh.length
}

/** The entries of a file that `export --jsonl` has written; - is standard input. A line may also be a BIP270 Payment. */
async function* jsonLines(pool: string, from: string): AsyncGenerator<Found> {
  const input = from === '-' ? process.stdin : createReadStream(from)
  let n = 0
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      n++
      if (line.trim()) yield foundIn(line, `line ${n}`, pool)
    }
  } catch (cause) {
    if (cause instanceof OverpoolError) throw cause
    throw new OverpoolError('BAD_ARGUMENT', `${from} cannot be read: ${messageOf(cause)}`, { cause })
  }
}

function jsonIn(line: string, place: string): Record<string, unknown> {
  let value: Record<string, unknown> | null
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw atPlace(place, new OverpoolError('BAD_ARGUMENT', 'this is no JSON', { cause }))
  }
  if (typeof value !== 'object' || value === null) throw atPlace(place, new OverpoolError('BAD_ARGUMENT', 'this is no entry'))
  return value
}

function foundIn(line: string, place: string, pool: string): Found {
  const value = jsonIn(line, place)
  if (value.payment === undefined)
    return { place, payment: value, id: idOfName(pool, `import ${JSON.stringify(value)}`), at: systemClock.now(), source: 'api', hops: 0 }
  const { payment, id, at, source, cause, hops = 0 } = value
  const isEntry =
    isHash(id) && isUint(at) && at <= MAX_TIME && isUint(hops) && SOURCES.includes(source) && (cause === undefined || isCause(cause))
  if (!isEntry) throw atPlace(place, new OverpoolError('BAD_ARGUMENT', 'this is no entry as `overpool export --jsonl` writes it'))
  return { place, payment, id: id as EntryId, at, source: source as Source, ...(cause !== undefined && { cause: cause as Cause }), hops }
}

/** The last ms since 1970 that a Date can hold. */
const MAX_TIME = 8_640_000_000_000_000

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

function isCause(value: unknown): value is Cause {
  const { key, seq } = (value ?? {}) as Partial<Cause>
  return isHash(key) && isUint(seq)
}

/** The entries of a pool of the original: its tapes, those that `prune` archived first, and a file for each payment. */
async function* tape(pool: string, folder: string): AsyncGenerator<Found | Missing> {
  const archived = readdirSync(folder).flatMap((name) => /^tape-(\d+)\.txt$/.exec(name)?.[1] ?? [])
  const names = [...archived.sort((a, b) => Number(a) - Number(b)).map((ms) => `tape-${ms}.txt`), 'tape.txt']
  for (const name of names) {
    let n = 0
    for (const line of readTape(join(folder, name)).split('\n')) {
      const place = `${name}, line ${++n}`
      if (!line.trim()) continue
      const [, txid, ms] = /^OVERPOOL ([0-9a-f]{64}) (\d{1,16})\r?$/.exec(line) ?? []
      if (txid === undefined) throw atPlace(place, new OverpoolError('BAD_ARGUMENT', 'this is no line of a tape: OVERPOOL, a txid, a time'))
      const payment = readPayment(join(folder, txid), place, txid)
      const id = idOfName(pool, `tape ${txid} ${ms}`)
      yield payment === undefined ? { place, file: txid } : { place, payment, id, at: Number(ms), source: 'api', hops: 0 }
    }
  }
}

function readTape(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `${file} cannot be read: the folder of a pool of the original Overpool has it`, { cause })
  }
}

/** The payment in a file of the original, undefined if there is none. */
function readPayment(file: string, place: string, txid: string): unknown {
  try {
    const payment: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (checkPayment(payment).scanned.txid === txid) return payment
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw atPlace(place, cause)
  }
  throw atPlace(place, new OverpoolError('BAD_ARGUMENT', `the file ${txid} holds another transaction`))
}

function isFolder(from: string): boolean {
  return from !== '-' && (statSync(from, { throwIfNoEntry: false })?.isDirectory() ?? false)
}

/** What is wrong at a place of the file. Nothing is taken back: the same import goes on from there. */
function atPlace(place: string, cause: unknown): OverpoolError {
  const said = messageOf(cause)
  return new OverpoolError(
    'BAD_ARGUMENT',
    `${place}: ${said}. Mend it and import again: entries that are there already are not added twice`,
    {
      cause,
    },
  )
}
