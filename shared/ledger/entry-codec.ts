import { encode } from 'cborg'
import { OverpoolError } from '../errors.ts'
import type {
  BlockEntry,
  ChainPlace,
  CommitEntry,
  Committed,
  CommonFields,
  Entry,
  EntryId,
  EntryInvoice,
  InvoiceEntry,
  Kind,
  PaymentFields,
  ReorgEntry,
  Source,
  StatusEntry,
  TxEntry,
  UnknownEntry,
} from './kinds.ts'
import { encodePlainEntry } from './plain-entry.ts'
import { asMap, badBlock, decodeStrict, hex, hexBytes, isUint, toStorable } from './values.ts'

const SOURCES: ReadonlySet<unknown> = new Set<Source>(['http', 'api', 'handler', 'mempool', 'chain'])

/** The last ms since 1970 that a Date can hold. */
const MAX_TIME = 8_640_000_000_000_000
/** Bytes of a hash, and of the header of a block of the chain. */
const HASH_BYTES = 32
const HEADER_BYTES = 80
/** Characters of a name: a kind, a source, a status. */
const MAX_NAME = 64

type Fields = Record<string, unknown>

/** Encodes and decodes the fields of one kind of entry. */
interface Codec<Of extends Entry> {
  /** The fields to store. */
  write: (entry: Of) => Fields
  /** The entry with these fields, or BAD_BLOCK. Fields that it does not know are kept as `unknown`. */
  read: (fields: Fields, common: CommonFields) => Of
}

const tx: Codec<TxEntry> = {
  write: ({ tx, payment, along, invoice, height, blockHash, index, proof }) => ({
    tx,
    payment: toStorable(payment),
    ...present({ along, invoice: invoice && invoiceFields(invoice), height, blockHash: bytesOf(blockHash), index, proof }),
  }),
  read({ tx, payment, ...rest }, common) {
    if (!(tx instanceof Uint8Array)) throw badBlock('an entry without a transaction')
    const read: PaymentFields & { transaction?: unknown } = asMap(payment, 'a payment')
    if (read.memo !== undefined && typeof read.memo !== 'string') throw badBlock('a payment whose memo is no string')
    if (read.transaction !== undefined) throw badBlock('a payment with a second transaction')
    const { id, at, source, cause, hops } = common
    const entry: TxEntry = { kind: 'tx', id, at, source: source as Source, ...(cause && { cause }), hops, tx, payment: read }
    for (const _ in rest)
      return withRest(entry, rest, { along: yes, invoice: invoiceOf, height: uint, blockHash: hash, index: uint, proof: bytes }) // rare
    return entry
  },
}

const commit: Codec<CommitEntry> = {
  write: ({ of }) => ({ of: of.map((one) => ('tx' in one ? { tx: one.tx } : present({ txid: hexBytes(one.txid), seq: one.seq }))) }),
  read({ of, ...rest }, common) {
    if (!Array.isArray(of) || !of.length) throw badBlock('a commit without transactions')
    return withRest({ kind: 'commit', ...common, of: of.map(committed) }, rest)
  },
}

const status: Codec<StatusEntry> = {
  write: ({ of, status, height, blockHash, proof, final, undone, reason, by }) => ({
    of: present({ txid: hexBytes(of.txid), seq: of.seq }),
    status,
    ...present({ height, blockHash: bytesOf(blockHash), proof, final, undone: bytesOf(undone), reason: text(reason), by: text(by) }),
  }),
  read({ of, status, ...rest }, common) {
    const about = committed(of)
    if ('tx' in about) throw badBlock('a status of a raw transaction')
    const entry: StatusEntry = { kind: 'status', ...common, of: about, status: name(status, 'a status') }
    return withRest(entry, rest, { height: uint, blockHash: hash, proof: bytes, final: yes, undone: hash, reason: string, by: string })
  },
}

const block: Codec<BlockEntry> = {
  write: ({ height, hash, header, count }) => ({ height, hash: hexBytes(hash), header, count }),
  read({ height, hash: ofBlock, header, count, ...rest }, common) {
    if (!(header instanceof Uint8Array) || header.length !== HEADER_BYTES) throw badBlock(`a header without its ${HEADER_BYTES} bytes`)
    return withRest({ kind: 'block', ...common, height: uint(height), hash: hash(ofBlock), header, count: uint(count) }, rest)
  },
}

const reorg: Codec<ReorgEntry> = {
  write: ({ from, to, undone }) => ({ from: placeFields(from), to: placeFields(to), undone: undone.map(hexBytes) }),
  read({ from, to, undone, ...rest }, common) {
    if (!Array.isArray(undone)) throw badBlock('a reorganisation without the blocks that it took back')
    return withRest({ kind: 'reorg', ...common, from: place(from), to: place(to), undone: undone.map(hash) }, rest)
  },
}

const invoice: Codec<InvoiceEntry> = {
  write: ({ invoice }) => ({ invoice: invoiceFields(invoice) }),
  read: ({ invoice, ...rest }, common) => withRest({ kind: 'invoice', ...common, invoice: invoiceOf(invoice) }, rest),
}

const CODECS: { [K in Kind]: Codec<Extract<Entry, { kind: K }>> } = { tx, commit, status, block, reorg, invoice }

/**
 * An entry as deterministic CBOR, the bytes that a block holds (docs/design.md, Formats). An entry without `kind` is a transaction.
 * @throws OverpoolError BAD_PAYMENT: a field that cannot be stored
 */
export function encodeEntry(entry: Entry): Uint8Array {
  return (entry.kind === 'tx' && encodePlainEntry(entry, encodePayment, encodeInvoice)) || encodeAnyEntry(entry)
}

/** The same by the general encoder, for entries of any shape. */
export function encodeAnyEntry(entry: Entry): Uint8Array {
  const { kind, id, at, source, cause, hops, unknown } = entry
  const fields = kind === 'unknown' ? entry.fields : (CODECS[kind].write as (entry: Entry) => Fields)(entry)
  const map: Fields = { ...unknown, id: hexBytes(id), at, ...fields, source }
  if (kind !== 'tx') map.kind = kind === 'unknown' ? entry.named : kind
  if (map.kind === 'tx') delete map.kind // a transaction from an unknown source
  if (cause) map.cause = [hexBytes(cause.key), cause.seq]
  if (hops) map.hops = hops
  return encode(map)
}

const EMPTY_MAP = Uint8Array.of(0xa0)

function encodePayment(fields: PaymentFields): Uint8Array {
  return Object.keys(fields).length ? encode(toStorable(fields)) : EMPTY_MAP
}

function encodeInvoice(invoice: EntryInvoice): Uint8Array {
  return encode(invoiceFields(invoice))
}

/** The entry in these bytes, or BAD_BLOCK. */
export function decodeEntry(bytes: Uint8Array): Entry {
  return entryOf(decodeStrict(bytes))
}

/** Checks that a decoded CBOR value has the shape of an entry, or throws BAD_BLOCK. An unknown kind or source is not a fault: it gives an UnknownEntry. */
export function entryOf(value: unknown): Entry {
  const { id, at, source, cause, hops, kind = 'tx', ...fields } = asMap(value, 'an entry')
  if (!(id instanceof Uint8Array) || id.length !== HASH_BYTES) throw badBlock('an entry without an id of 32 bytes')
  if (!isUint(at) || at > MAX_TIME) throw badBlock('an entry without a time')
  if (hops !== undefined && !isUint(hops)) throw badBlock('an entry whose hops are no number')
  const named = name(kind, 'a kind')
  const common: CommonFields = { id: hex(id) as EntryId, at, source: name(source, 'a source'), hops: hops ?? 0 }
  if (cause !== undefined) common.cause = causeOf(cause)
  if (!isKind(named) || (named === 'tx' && !SOURCES.has(common.source)))
    return { kind: 'unknown', ...common, named, fields } satisfies UnknownEntry
  return CODECS[named].read(fields, common)
}

function isKind(named: string): named is Kind {
  return Object.hasOwn(CODECS, named)
}

function causeOf(cause: unknown): CommonFields['cause'] {
  if (!Array.isArray(cause) || cause.length !== 2 || !isHash(cause[0]) || !isUint(cause[1]))
    throw badBlock('an entry with a malformed cause')
  return { key: hex(cause[0]), seq: cause[1] }
}

// ---- values of fields, or BAD_BLOCK

function isHash(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === HASH_BYTES
}

function hash(value: unknown): string {
  if (!isHash(value)) throw badBlock('a hash without its 32 bytes')
  return hex(value)
}

function uint(value: unknown): number {
  if (!isUint(value)) throw badBlock('a field that is no whole number')
  return value
}

function bytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw badBlock('a field that holds no bytes')
  return value
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw badBlock('a field that holds no text')
  return value
}

function yes(value: unknown): true {
  if (value !== true) throw badBlock('a field that is neither true nor missing')
  return value
}

function name(value: unknown, what: string): string {
  if (typeof value !== 'string' || !value || value.length > MAX_NAME)
    throw badBlock(`${what} that is not a name of 1 to ${MAX_NAME} characters`)
  return value
}

function invoiceFields({ id, state, received, isShared, copyOf, data }: EntryInvoice): Fields {
  if (!isUint(received)) throw new OverpoolError('BAD_PAYMENT', 'a payment of more satoshis than there are') // no reader could read it
  return present({ id, state, received, shared: isShared, copyOf: bytesOf(copyOf), data: toStorable(data) })
}

function invoiceOf(value: unknown): EntryInvoice {
  const { id, state, received, shared, copyOf, data } = asMap(value, 'an invoice')
  return {
    id: name(id, 'an invoice'),
    state: name(state, 'the state of an invoice'),
    received: uint(received),
    ...(shared !== undefined && { isShared: yes(shared) }),
    ...(copyOf !== undefined && { copyOf: hash(copyOf) }),
    ...(data !== undefined && { data }),
  }
}

function committed(value: unknown): { txid: string; seq?: number } | { tx: Uint8Array } {
  const { tx, txid, seq } = asMap(value, 'a transaction')
  if (tx instanceof Uint8Array && txid === undefined) return { tx } satisfies Committed
  return { txid: hash(txid), ...(seq !== undefined && { seq: uint(seq) }) }
}

function place(value: unknown): ChainPlace {
  const { height, hash: ofBlock } = asMap(value, 'a place on the chain')
  return { height: uint(height), hash: hash(ofBlock) }
}

function placeFields({ height, hash }: ChainPlace): Fields {
  return { height, hash: hexBytes(hash) }
}

function bytesOf(hash: string | undefined): Uint8Array | undefined {
  return hash === undefined ? undefined : hexBytes(hash)
}

/** Text as it comes back from CBOR. */
function text(value: string | undefined): string | undefined {
  return value === undefined ? undefined : toStorable(value)
}

/** The fields that have a value. */
function present(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** Adds the optional fields, each read by its check. All others are kept as `unknown`. */
function withRest<Of extends Entry>(entry: Of, rest: Fields, checks: Record<string, (value: unknown) => unknown> = {}): Of {
  const unknown: Fields = {}
  for (const [name, value] of Object.entries(rest)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check) Object.assign(entry, { [name]: check(value) })
    else unknown[name] = value
  }
  return Object.keys(unknown).length ? { ...entry, unknown } : entry
}
