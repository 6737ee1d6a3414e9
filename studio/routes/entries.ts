import { scriptOfAddress } from '../../shared/chain/filter.ts'
import { readHeader } from '../../shared/chain/header.ts'
import { scanBump } from '../../shared/chain/merkle.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { LedgerEvent, StatusEvent, TxEvent } from '../../shared/ledger/event.ts'
import { type EntryId, KINDS, type Kind } from '../../shared/ledger/kinds.ts'
import { hex, hexBytes } from '../../shared/ledger/values.ts'
import type { Kinds } from '../../shared/machine/pools.ts'
import { cut } from '../../shared/printed.ts'
import { addressOf, type Cell, parseInSteps, scanTransaction } from '../../shared/transaction/index.ts'
import { turn } from '../../shared/turn.ts'
import type { StudioMachine } from '../machine.ts'
import type {
  BytesPage,
  EntriesPage,
  EntryRow,
  EntryShape,
  Found,
  FoundPage,
  InputShape,
  OutputShape,
  ProofShape,
  ScriptPart,
  StatusStep,
} from '../shapes.ts'
import { numberIn, type Routes, textIn } from './route.ts'

/** Entries of one answer. */
const MAX_ROWS = 200
/** A search looks back this many entries at a time, and answers after so many ms: the page asks on. */
const SEARCH_STEP = 500
const SEARCH_MS = 200
/** Characters of a text in a row, and on the page of an entry. */
const MAX_SHORT = 160
const MAX_LONG = 20_000
/** How much of a transaction is shown: inputs or outputs, parts of a script, bytes of a push. */
const MAX_PUTS = 200
const MAX_PARTS = 200
const MAX_PUSH = 256
/** Bytes of one answer. */
const BYTES_PAGE = 4_096
/** The history of a status is searched in this many entries after that of the transaction. */
const MAX_HISTORY = 20_000
/** Statuses are noted a moment after their block: so many newest entries are always looked at. */
const MAX_RECENT = 512
/** The header of a block is looked for among this many newest entries of the chain's pool. */
const MAX_HEADERS = 2_000

export const entryRoutes: Routes = {
  'GET entries': ({ query }, { machine }) => entriesOf(machine, textIn(query, 'pool'), numberIn(query, 'from'), numberIn(query, 'to')),
  'GET search': ({ query }, { machine }) => searched(machine, textIn(query, 'pool'), query),
  'GET find': async ({ query }, { machine }) => ({ found: await foundIn(machine, textIn(query, 'q')) }),
  'GET entry': ({ query }, { machine }) => entryOf(machine, textIn(query, 'pool'), numberIn(query, 'seq')),
  'GET bytes': ({ query }, { machine }) => bytesOf(machine, textIn(query, 'pool'), numberIn(query, 'seq'), numberIn(query, 'from', 0)),
}

async function entriesOf({ pools }: StudioMachine, path: string, from: number, to: number): Promise<EntriesPage> {
  const { prunedBefore } = await pools.control(path)
  const rows: EntryRow[] = []
  for await (const event of pools.read({ path, from, to: Math.min(to, from + MAX_ROWS), kinds: 'all' })) {
    rows.push(rowOf(event))
    if (isLarge(event)) await turn()
  }
  return { end: await pools.length(path), begin: prunedBefore, rows }
}

/** Looks back from `before`, down to `since`, for entries that match, for a while. */
async function searched({ pools }: StudioMachine, path: string, query: URLSearchParams): Promise<FoundPage> {
  const { prunedBefore } = await pools.control(path)
  const first = Math.max(prunedBefore, numberIn(query, 'since', 0))
  const end = await pools.length(path)
  const matches = matcherOf(query.get('q') ?? '')
  const kinds = kindsIn(query)
  const begun = performance.now()
  const rows: EntryRow[] = []
  let before = Math.min(end, numberIn(query, 'before', end))
  while (before > first && rows.length < MAX_ROWS && performance.now() - begun < SEARCH_MS) {
    const from = Math.max(first, before - SEARCH_STEP)
    const step: EntryRow[] = []
    for await (const event of pools.read({ path, from, to: before, kinds })) {
      if (await matches(event)) step.push(rowOf(event))
      if (isLarge(event)) await turn()
    }
    rows.push(...step.reverse())
    before = from
    await turn()
  }
  return { end, rows, ...(before > first && { before }) }
}

function kindsIn(query: URLSearchParams): Kinds {
  const kinds = query.get('kinds')
  if (!kinds) return 'all'
  const names = kinds.split(',') as Kind[]
  if (names.every((name) => KINDS.includes(name))) return names
  throw new OverpoolError('BAD_ARGUMENT', `kinds are some of ${KINDS.join(', ')}`)
}

/** Whether a transaction is large enough to hold others up. */
function isLarge(event: LedgerEvent): boolean {
  return event.kind === 'tx' && event.payment.transaction.length > 100_000
}

type Matcher = (event: LedgerEvent) => boolean | Promise<boolean>

/** What a search asks for: an address, a part of a hex string, or a text. */
function matcherOf(asked: string): Matcher {
  const text = asked.trim().toLowerCase()
  if (!text) return () => true
  const address = addressIn(asked.trim())
  if (address !== undefined) return (event) => event.kind === 'tx' && namesAddress(event, address)
  const isHex = /^[\da-f]{6,}$/.test(text)
  return (event) => {
    if (event.kind !== 'tx') return `${says(event)} ${event.id}`.toLowerCase().includes(text)
    const { hash, id, payment, reason = '' } = event
    if (isHex && (hash.includes(text) || id.includes(text) || payment.transaction.includes(text))) return true
    const { transaction, ...fields } = payment
    return `${JSON.stringify(fields)} ${reason} ${Buffer.from(transaction, 'hex').toString('utf8')}`.toLowerCase().includes(text)
  }
}

/** An address of any network as the main network writes it. */
function addressIn(text: string): string | undefined {
  if (!/^[123mn][1-9A-HJ-NP-Za-km-z]{24,34}$/.test(text)) return undefined
  try {
    return addressOf(hexBytes(scriptOfAddress(text)))
  } catch {
    return undefined // it only looks like one: it is searched as a text
  }
}

async function namesAddress(event: TxEvent, address: string): Promise<boolean> {
  const { in: inputs, out } = await parseInSteps(scanTransaction(hexBytes(event.payment.transaction)))
  return [...inputs, ...out].some(({ e }) => e.a === address)
}

/** Where a transaction is, or an entry id, in any pool. */
async function foundIn({ pools, stores }: StudioMachine, asked: string): Promise<Found[]> {
  const hash = asked.trim().toLowerCase()
  if (!/^[\da-f]{64}$/.test(hash)) return []
  const all = await pools.list()
  const found = await Promise.all(
    all.map(async ({ path }) => {
      const ofTransaction = await stores.receipts.ofTransaction(path, hash)
      const [byId] = ofTransaction.length ? [] : await stores.receipts.find(path, [{ key: hash, id: hash as EntryId }])
      return [...ofTransaction, ...(byId ? [byId] : [])].map(({ seq }) => ({ path, seq }))
    }),
  )
  return found.flat()
}

/** An entry as a line of a list. */
export function rowOf(event: LedgerEvent): EntryRow {
  const { seq, at, kind, id, source, hops } = event
  const common = { seq, at, kind: event.kind === 'unknown' ? event.named : kind, id, source, hops }
  if (event.kind !== 'tx') return { ...common, says: cut(says(event), MAX_SHORT) }
  const { hash, status, height, payment, invoice } = event
  const scanned = scanTransaction(hexBytes(payment.transaction))
  const data = event.data.map(({ text }) => text).join(' ')
  return {
    ...common,
    txid: hash,
    status,
    ...(height !== undefined && { height }),
    ...(payment.memo !== undefined && { memo: cut(payment.memo, MAX_SHORT) }),
    ...(data && { data: cut(data, MAX_SHORT) }),
    satoshis: satoshisOf(scanned.readOutputs()),
    bytes: scanned.bytes.length,
    ...(invoice && { invoice: { id: invoice.id, state: invoice.state } }),
  }
}

function satoshisOf(outputs: Iterable<{ satoshis: bigint }>): number {
  let sum = 0n
  for (const { satoshis } of outputs) sum += satoshis
  return Number(sum)
}

/** What an entry of another kind records, as a line. */
function says(event: Exclude<LedgerEvent, TxEvent>): string {
  switch (event.kind) {
    case 'commit':
      return `to broadcast: ${event.of.map((one) => ('txid' in one ? one.txid : 'a raw transaction')).join(', ')}`
    case 'status': {
      const { of, status, height, reason, by } = event
      return [`${of.txid}: ${status}`, height !== undefined && `in block ${height}`, reason, by !== undefined && `says ${by}`]
        .filter(Boolean)
        .join(', ')
    }
    case 'block':
      return `block ${event.height}, ${event.hash}, ${event.count} transactions of this pool`
    case 'reorg':
      return `${event.undone.length} blocks taken back, down to ${event.to.height}`
    case 'invoice':
      return `invoice ${event.invoice.id}: ${event.invoice.state}`
    case 'unknown':
      return 'of a kind that this version does not know'
  }
}

async function eventAt({ pools }: StudioMachine, path: string, seq: number): Promise<LedgerEvent> {
  for await (const event of pools.read({ path, from: seq, to: seq + 1, kinds: 'all' })) return event
  // `read` leaves out what is archived: by its transaction it is still found, but not by its number.
  throw new OverpoolError('ENTRY_NOT_FOUND', `"${path}" has no entry #${seq} that is not archived`)
}

async function entryOf(machine: StudioMachine, path: string, seq: number): Promise<EntryShape> {
  const { pools } = machine
  const event = await eventAt(machine, path, seq)
  const { key, cause } = event
  const causePool = cause && (await pools.list()).find((pool) => pool.key === cause.key)?.path
  const common = {
    ...rowOf(event),
    path,
    key,
    ...(cause && { cause: { ...cause, ...(causePool !== undefined && { path: causePool }) } }),
  }
  if (event.kind !== 'tx') return { ...common, says: cut(says(event), MAX_LONG), fields: fieldsOf(event) }
  return { ...common, ...(await transactionOf(event)), ...(await statusesOf(machine, event)) }
}

async function transactionOf(event: TxEvent): Promise<Partial<EntryShape>> {
  const { payment, reason, by, proven, invoice } = event
  const scanned = scanTransaction(hexBytes(payment.transaction))
  const parsed = await parseInSteps(scanned)
  const inputs: InputShape[] = []
  // A coinbase's input is not among the parsed ones.
  for (const [i, { txid, vout, sequence }] of [...scanned.readInputs()].slice(0, MAX_PUTS).entries()) {
    const { e, tape = [] } = parsed.in.find((each) => each.i === i) ?? {}
    inputs.push({ txid, vout, sequence, ...addressField(e?.a), script: partsOf(tape) })
  }
  const outputs: OutputShape[] = []
  for (const [i, { satoshis, script }] of [...scanned.readOutputs()].slice(0, MAX_PUTS).entries())
    outputs.push({
      satoshis: Number(satoshis),
      ...addressField(parsed.out[i]?.e.a),
      bytes: script.length,
      script: partsOf(parsed.out[i]?.tape ?? []),
    })
  const { memo, merchantData, refundTo } = payment
  return {
    ...(memo !== undefined && { memo: cut(memo, MAX_LONG) }),
    payment: { ...jsonField('merchantData', merchantData), ...jsonField('refundTo', refundTo) },
    inputs,
    outputs,
    inputCount: scanned.inputCount,
    outputCount: scanned.outputCount,
    version: scanned.version,
    lockTime: scanned.lockTime,
    ...(reason !== undefined && { reason: cut(reason, MAX_LONG) }),
    ...(by !== undefined && { by }),
    isProven: proven === true,
    ...(invoice && { fields: cut(JSON.stringify(invoice, asJson, 2), MAX_LONG) }),
  }
}

function addressField(address: string | undefined): { address?: string } {
  return address === undefined || address === 'false' ? {} : { address }
}

function jsonField<K extends string>(name: K, value: unknown): { [key in K]?: string } {
  if (value === undefined) return {}
  const text = typeof value === 'string' ? value : (JSON.stringify(value, asJson, 2) ?? '')
  return { [name]: cut(text, MAX_LONG) } as { [key in K]?: string }
}

function fieldsOf(event: LedgerEvent): string {
  const { path: _path, key: _key, seq: _seq, ...fields } = event
  return cut(JSON.stringify(fields, asJson, 2), MAX_LONG)
}

/** Bytes become hex. */
function asJson(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? hex(value) : value
}

function partsOf(tapes: { cell: Cell[] }[]): ScriptPart[] {
  const cells = tapes.flatMap(({ cell }) => cell)
  const shown = cells.slice(0, MAX_PARTS).map(partOf)
  return cells.length > MAX_PARTS ? [...shown, { cut: cells.length - MAX_PARTS }] : shown
}

function partOf({ ops, b, lb, cut: left }: Cell): ScriptPart {
  if (left !== undefined) return { cut: left }
  if (ops !== undefined) return { op: ops }
  const bytes = Buffer.from(b ?? lb ?? '', 'base64')
  const text = bytes.toString('utf8')
  const isText = bytes.length > 0 && !text.includes('\ufffd') && !/(?![\t\n\r])\p{Cc}/u.test(text)
  return {
    bytes: bytes.length,
    hex: bytes.subarray(0, MAX_PUSH).toString('hex'),
    ...(isText && { text: cut(text, MAX_LONG) }),
  }
}

/** What was said of a transaction's status after its entry, and the proof that it is in a block. */
async function statusesOf(machine: StudioMachine, event: TxEvent): Promise<Partial<EntryShape>> {
  const { pools, stores } = machine
  const { path, seq, hash } = event
  const [newest] = await stores.statuses.newest(path, [hash])
  const end = await pools.length(path)
  const last = newest?.seq ?? seq
  const to = Math.min(last + 1, seq + 1 + MAX_HISTORY)
  const history: StatusStep[] = []
  let proof = event.proof
  // What the newest blocks say is noted a moment after they are written.
  for (const [from, until] of [
    [seq + 1, to],
    [Math.max(to, end - MAX_RECENT), end],
  ] as const) {
    if (from >= until) continue
    for await (const status of pools.read({ path, from, to: until, kinds: ['status'] })) {
      if (status.of.txid !== hash) continue
      history.push(stepOf(status))
      if (status.proof && status.blockHash === event.blockHash) proof = status.proof
    }
  }
  return {
    history,
    ...(last >= to && { isHistoryCut: true as const }),
    ...(proof && { proof: await proofOf(machine, event, proof) }),
  }
}

function stepOf({ seq, at, status, height, blockHash, reason, by, final, undone, proof }: StatusEvent): StatusStep {
  return {
    seq,
    at,
    status,
    ...(height !== undefined && { height }),
    ...(blockHash !== undefined && { blockHash }),
    ...(reason !== undefined && { reason: cut(reason, MAX_LONG) }),
    ...(by !== undefined && { by }),
    ...(final && { final }),
    ...(undone !== undefined && { undone }),
    isProven: proof !== undefined,
  }
}

async function proofOf({ pools }: StudioMachine, { hash, height, blockHash }: TxEvent, bump: Uint8Array): Promise<ProofShape> {
  const proof = scanBump(bump)
  const root = proof.root(hash)
  const shape: ProofShape = {
    ...(height !== undefined && { height }),
    ...(blockHash !== undefined && { blockHash }),
    index: proof.index(hash),
    root,
    bump: hex(bump),
  }
  for (const { path } of await pools.chain()) {
    const end = await pools.length(path)
    for await (const block of pools.read({ path, from: Math.max(0, end - MAX_HEADERS), kinds: ['block'] }))
      if (block.hash === blockHash) return { ...shape, isRoot: readHeader(block.header).merkleRoot === root }
  }
  return shape
}

/** A part of an entry's transaction. */
async function bytesOf(machine: StudioMachine, path: string, seq: number, from: number): Promise<BytesPage> {
  const event = await eventAt(machine, path, seq)
  if (event.kind !== 'tx') throw new OverpoolError('BAD_ARGUMENT', `#${seq} of "${path}" records no transaction`)
  const { transaction } = event.payment
  return { from, size: transaction.length / 2, hex: transaction.slice(2 * from, 2 * (from + BYTES_PAGE)) }
}
