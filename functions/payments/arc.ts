import {
  type CheckedPayment,
  checkNotCompressed,
  checkPayment,
  MAX_TRANSACTION_BYTES,
  readJson,
  readText,
} from '../../shared/bip270/payment.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { TxStatus } from '../../shared/ledger/status.ts'
import { hex } from '../../shared/ledger/values.ts'
import { type AcceptDeps, accept, type PoolDoor } from '../../shared/machine/accept.ts'
import type { Known } from '../../shared/machine/known.ts'
import type { DoorRequest } from './http.ts'
import type { Quotas } from './quotas.ts'
import { checkOrigin, checkThere, notPaid, problemOf } from './refusal.ts'

export interface ArcDeps extends AcceptDeps {
  known?: (pool: string, txid: string) => Promise<Known | undefined>
  quotas: Quotas
  /** called with the refusal of one transaction among several */
  refusedOne: (error: unknown) => void
}

export interface ArcAnswer {
  status: number
  /** for JSON */
  said: unknown
}

/** `POST /{pool}/v1/txs` takes this many transactions. */
const MAX_TRANSACTIONS = 100
/** What miners ask for. A pool itself asks for no fee, but a transaction without one is not mined. */
const MINING_FEE = { satoshis: 100, bytes: 1_000 }

/**
 * Answers as ARC does, for programs that can be told an address of ARC: `POST tx` and `POST txs` take transactions, `GET tx/{txid}` says what has become of one, `GET policy`
 * and `GET health` what such programs ask before. The pool takes each as a Payment without other fields, and calls nobody back.
 * @param place the parts of the path behind `/{pool}/v1`
 */
export async function answerAsArc(place: string[], request: DoorRequest, pool: PoolDoor | undefined, deps: ArcDeps): Promise<ArcAnswer> {
  const [what = '', txid, ...more] = place
  const isGet = request.method === 'GET' || request.method === 'HEAD'
  if (more.length || (txid !== undefined && what !== 'tx')) throw new OverpoolError('POOL_NOT_FOUND', 'there is nothing at this path')
  checkThere(pool)
  if (what === 'tx' && txid !== undefined && isGet) return statusOf(pool, txid, request, deps)
  if (what === 'tx' && txid === undefined && request.method === 'POST') return takeOne(pool, request, deps)
  if (what === 'txs' && request.method === 'POST') return takeSeveral(pool, request, deps)
  if (what === 'policy' && isGet) return policy(deps.now())
  if (what === 'health' && isGet) return health(pool, deps)
  if (!['tx', 'txs', 'policy', 'health'].includes(what)) throw new OverpoolError('POOL_NOT_FOUND', 'there is nothing at this path')
  throw new OverpoolError(
    'METHOD_NOT_ALLOWED',
    'transactions are posted to /{pool}/v1/tx or /{pool}/v1/txs; GET asks for /v1/tx/{txid}, /v1/policy and /v1/health',
  )
}

async function takeOne(pool: PoolDoor, request: DoorRequest, deps: ArcDeps): Promise<ArcAnswer> {
  const body = await bodyOf(pool, request, deps)
  const transaction = await transactionIn(body, request.header('content-type'))
  return { status: 200, said: await take(pool, checkPayment({ transaction }), request, deps) }
}

/** Each is taken by itself, in this order; what is said of each stands at its place. */
async function takeSeveral(pool: PoolDoor, request: DoorRequest, deps: ArcDeps): Promise<ArcAnswer> {
  const body = await bodyOf(pool, request, deps)
  const transactions = await transactionsIn(body, request.header('content-type'))
  if (!transactions.length || transactions.length > MAX_TRANSACTIONS)
    throw new OverpoolError('MALFORMED_PAYMENT', `one message has 1 to ${MAX_TRANSACTIONS} transactions, not ${transactions.length}`)
  deps.quotas.spend(pool, request.address ?? '', transactions.length - 1, 0)
  const said: unknown[] = []
  for (const transaction of transactions) {
    try {
      said.push(await take(pool, checkPayment({ transaction }), request, deps))
    } catch (error) {
      deps.refusedOne(error)
      said.push(problemOf(error))
    }
  }
  return { status: 200, said }
}

async function take(pool: PoolDoor, payment: CheckedPayment, { address = '' }: DoorRequest, deps: ArcDeps): Promise<object> {
  const { along, scanned } = payment
  if (along) deps.quotas.spend(pool, address, along.length, 0)
  await accept(pool, payment, { source: 'http' }, deps)
  return { ...shown(scanned.txid, await deps.known?.(pool.path, scanned.txid), deps.now()), status: 200, title: 'OK' }
}

/** The body of a post, within the quotas. */
async function bodyOf(pool: PoolDoor, { header, address = '', body }: DoorRequest, { quotas }: ArcDeps): Promise<Uint8Array> {
  checkOrigin(pool, header('origin'))
  if (pool.price !== undefined) throw notPaid(pool)
  checkNotCompressed(header('content-encoding'))
  quotas.spend(pool, address, 1, 0)
  const bytes = await body()
  quotas.spend(pool, address, 0, bytes.length)
  return bytes
}

type Kind = 'json' | 'text' | 'bytes'

/** ARC takes JSON, text and bytes; a message without a type is JSON or text. */
function kindOf(body: Uint8Array, contentType: string | undefined): Kind {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  if (type === 'application/json') return 'json'
  if (type === 'application/octet-stream') return 'bytes'
  if (type === 'text/plain') return 'text'
  if (type === undefined || type === '') return body[0] === OPENING_BRACE || body[0] === OPENING_BRACKET ? 'json' : 'text'
  throw new OverpoolError(
    'UNSUPPORTED_MEDIA_TYPE',
    'send the transaction as application/json ({ "rawTx": hex }), text/plain or application/octet-stream',
  )
}

const OPENING_BRACE = 0x7b
const OPENING_BRACKET = 0x5b

async function transactionIn(body: Uint8Array, contentType: string | undefined): Promise<unknown> {
  const kind = kindOf(body, contentType)
  if (kind === 'bytes') return body
  return kind === 'text' ? readText(body).toString('latin1') : rawTxOf(await readJson(body))
}

async function transactionsIn(body: Uint8Array, contentType: string | undefined): Promise<unknown[]> {
  const kind = kindOf(body, contentType)
  if (kind === 'bytes')
    throw new OverpoolError('UNSUPPORTED_MEDIA_TYPE', 'send several transactions as application/json or text/plain, one a line')
  if (kind === 'text')
    return readText(body)
      .toString('latin1')
      .split(/\s+/, MAX_TRANSACTIONS + 2)
      .filter((line) => line)
  const list = await readJson(body)
  if (!Array.isArray(list)) throw new OverpoolError('MALFORMED_PAYMENT', 'several transactions are a JSON list of { "rawTx": hex }')
  return list.map(rawTxOf)
}

function rawTxOf(message: unknown): unknown {
  const { rawTx } = Object(message) as { rawTx?: unknown }
  if (rawTx === undefined || rawTx === null) throw new OverpoolError('MALFORMED_PAYMENT', 'a transaction is sent as { "rawTx": hex }')
  return rawTx
}

async function statusOf(pool: PoolDoor, asked: string, { address = '' }: DoorRequest, { known, quotas, now }: ArcDeps): Promise<ArcAnswer> {
  const txid = asked.toLowerCase()
  if (!/^[0-9a-f]{64}$/.test(txid)) throw new OverpoolError('MALFORMED_PAYMENT', 'a txid has 64 hex characters')
  if (!known)
    throw new OverpoolError(
      'METHOD_NOT_ALLOWED',
      'this machine takes part in no Bitcoin network, so this door knows nothing of what has become of transactions',
    )
  quotas.spend(pool, address, 1, 0)
  const found = await known(pool.path, txid)
  if (!found) {
    const unknown = new OverpoolError(
      'ENTRY_NOT_FOUND',
      'this pool knows no such transaction; one that was posted just now appears in a moment',
    )
    return { status: 404, said: { ...problemOf(unknown, 404), txid } }
  }
  return { status: 200, said: shown(txid, found, now()) }
}

/** ARC's word for a status. What no service has taken is stored and nothing more: that a network has it, only services and the chain say. */
const WORDS: Record<TxStatus['status'], string> = {
  local: 'STORED',
  sent: 'SENT_TO_NETWORK',
  seen: 'SEEN_ON_NETWORK',
  mined: 'MINED',
  rejected: 'REJECTED',
  'double-spent': 'DOUBLE_SPEND_ATTEMPTED',
}

/** @param known undefined: it was received, and is not in the ledger yet */
function shown(txid: string, known: Known | undefined, now: number): object {
  const { status, final, reason = '', height = 0, blockHash = '', proof } = known ?? {}
  const word = status === undefined ? 'RECEIVED' : status === 'double-spent' && final ? WORDS.rejected : WORDS[status]
  return {
    timestamp: new Date(now).toISOString(),
    txid,
    txStatus: word,
    extraInfo: reason,
    blockHash,
    blockHeight: height,
    merklePath: proof ? hex(proof) : '',
  }
}

function policy(now: number): ArcAnswer {
  const limits = {
    maxscriptsizepolicy: MAX_TRANSACTION_BYTES,
    maxtxsizepolicy: MAX_TRANSACTION_BYTES,
    maxtxsigopscountspolicy: 4_294_967_295,
  }
  return {
    status: 200,
    said: { timestamp: new Date(now).toISOString(), policy: { ...limits, miningFee: MINING_FEE, standardFormatSupported: true } },
  }
}

async function health({ halted }: PoolDoor, { ingress }: ArcDeps): Promise<ArcAnswer> {
  const writes = await ingress.check().then(
    () => true,
    () => false,
  )
  const healthy = writes && halted === undefined
  return { status: healthy ? 200 : 503, said: { healthy, reason: healthy ? '' : 'this pool takes no transactions at this moment' } }
}
