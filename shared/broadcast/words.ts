import { cut } from '../printed.ts'
import type { Word } from './service.ts'

/**
 * What the words of services mean: the one table. A row is looked up in what a service said:
 * - `status`: the transaction's status by name (`txStatus` of ARC and Arcade)
 * - `cause`: a reason that is named in a text, by a service or by the node behind it
 * - `http`: ARC's own status number, in the body or of the answer
 * - `node`: the number of a reason of the node, or of an error of its RPC
 *
 * Only a named cause is `final`. All that may change by waiting is `local`: it is sent again. `back`: a block was taken back.
 */
interface Row {
  in: 'status' | 'cause' | 'http' | 'node'
  is: string | number | RegExp
  says: Word['says']
  final?: true
  back?: true
  source: string
}

const ARC = "ARC's API, transaction statuses"
const ARC_NUMBERS = "ARC's API, error statuses (doc/errors.md)"
const ARCADE = "Arcade's models/transaction.go"
const TERANODE = "Arcade's docs/teranode-error-surfacing.md"
const NODE = 'Bitcoin SV node 1.0.13, sendrawtransactions'
const NODE_RPC = 'Bitcoin SV node 1.0.13, errors of its RPC'

export const TABLE: readonly Row[] = [
  { in: 'status', is: 'UNKNOWN', says: 'unknown', source: ARC },
  { in: 'status', is: 'QUEUED', says: 'sent', source: ARC },
  { in: 'status', is: 'RECEIVED', says: 'sent', source: ARC },
  { in: 'status', is: 'STORED', says: 'sent', source: ARC },
  { in: 'status', is: 'ANNOUNCED_TO_NETWORK', says: 'sent', source: ARC },
  { in: 'status', is: 'REQUESTED_BY_NETWORK', says: 'sent', source: ARC },
  { in: 'status', is: 'SENT_TO_NETWORK', says: 'sent', source: ARC },
  // One node of the service has it. Others have it only when it is seen.
  { in: 'status', is: 'ACCEPTED_BY_NETWORK', says: 'sent', source: ARC },
  // The service keeps it and sends it again when its parent arrives. @bsv/sdk calls this a failure.
  { in: 'status', is: 'SEEN_IN_ORPHAN_MEMPOOL', says: 'sent', source: 'bsv-blockchain/py-sdk#157' },
  // The service itself sends it again.
  { in: 'status', is: 'PENDING_RETRY', says: 'sent', source: ARCADE },
  { in: 'status', is: 'SEEN_ON_NETWORK', says: 'seen', source: ARC },
  { in: 'status', is: 'SEEN_MULTIPLE_NODES', says: 'seen', source: ARCADE },
  // A block holds it, and its proof is not made yet.
  { in: 'status', is: 'STUMP_PROCESSING', says: 'seen', source: ARCADE },
  { in: 'status', is: 'MINED', says: 'mined', source: ARC },
  { in: 'status', is: 'IMMUTABLE', says: 'mined', source: ARCADE },
  { in: 'status', is: 'MINED_IN_STALE_BLOCK', says: 'seen', back: true, source: ARC },
  // Open for ever: the service may not know the other transaction, and either of the two may be mined.
  { in: 'status', is: 'DOUBLE_SPEND_ATTEMPTED', says: 'double-spent', source: 'bitcoin-sv/arc#900' },
  // These three are worth what their cause says, and another try without one.
  { in: 'status', is: 'REJECTED', says: 'local', source: 'bsv-blockchain/go-wallet-toolbox#997' },
  { in: 'status', is: 'INVALID', says: 'local', source: "@bsv/sdk's ARC.ts" },
  { in: 'status', is: 'MALFORMED', says: 'local', source: "@bsv/sdk's ARC.ts" },

  // Causes. A text may name several, so the order counts: what waiting can change comes first.
  { in: 'cause', is: /\b(TX_LOCK_TIME|UTXO_NON_FINAL) \(\d+\)/, says: 'local', source: `${TERANODE}, D1` },
  { in: 'cause', is: /\bsequence lock/i, says: 'local', source: `${TERANODE}, B4` },
  { in: 'cause', is: /\b(non-?final|non-BIP68-final|not final)\b/i, says: 'local', source: NODE },
  { in: 'cause', is: /\bmissing-?inputs\b|\bbad-txns-inputs-missingorspent\b/i, says: 'local', source: NODE },
  { in: 'cause', is: /\bTX_MISSING_PARENT \(\d+\)|\bparent rejected\b/, says: 'local', source: `${TERANODE}, D2` },
  { in: 'cause', is: /\bTX_LOCKED \(\d+\)/, says: 'local', source: `${TERANODE}, D6` },
  { in: 'cause', is: /\btxn-already-(in-mempool|known)\b|\balready in (block ?chain|mempool)\b/i, says: 'seen', source: NODE },
  { in: 'cause', is: /\b(STORAGE_ERROR|SERVICE_ERROR) \(\d+\)/, says: 'local', source: `${TERANODE}, A7 and A8` },
  {
    in: 'cause',
    is: /\b(UTXO_SPENT|TX_CONFLICTING|TX_INVALID_DOUBLE_SPEND) \(\d+\)/,
    says: 'double-spent',
    final: true,
    source: `${TERANODE}, D3 to D5`,
  },
  // The other one is in a mempool, and none of the two in a block: the miner decides.
  { in: 'cause', is: /\btxn-(mempool-conflict|double-spend-detected)\b/, says: 'double-spent', source: NODE },
  {
    in: 'cause',
    is: /\bmempool (full|min fee not met)\b|\bmempool-sizelimit-exceeded\b|\btoo-long-mempool-chain\b/,
    says: 'local',
    source: NODE,
  },
  // Such a node was too busy to check it in time.
  { in: 'cause', is: /\btoo-long-validation-time\b/, says: 'local', source: NODE },
  { in: 'cause', is: /\bbad-txns-premature-spend/, says: 'local', source: NODE },
  { in: 'cause', is: /\b(TX_INVALID|TX_POLICY) \(\d+\)/, says: 'rejected', final: true, source: `${TERANODE}, A to C` },
  { in: 'cause', is: /\b(non-)?mandatory-script-verify-flag-failed\b/, says: 'rejected', final: true, source: NODE },
  { in: 'cause', is: /\bbad-txns?-[a-z]/, says: 'rejected', final: true, source: NODE },
  { in: 'cause', is: /\bscript evaluation failed\b/i, says: 'rejected', final: true, source: 'conformance vector broadcast.arcsubmit.5' },
  // The name of a failure that the service does not name: most often a missing parent.
  { in: 'cause', is: /\bPROCESSING \(\d+\)/, says: 'local', source: `${TERANODE}, D2` },

  { in: 'http', is: 400, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 404, says: 'unknown', source: 'bitcoin-sv/arc#840' },
  { in: 'http', is: 409, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 413, says: 'local', source: `${TERANODE}, E` },
  { in: 'http', is: 422, says: 'local', source: `${TERANODE}, D2` },
  // The service did not find what it spends.
  { in: 'http', is: 460, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 461, says: 'rejected', final: true, source: ARC_NUMBERS },
  // One number for inputs that are spent, and for inputs that do not exist yet.
  { in: 'http', is: 462, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 463, says: 'rejected', final: true, source: ARC_NUMBERS },
  { in: 'http', is: 464, says: 'rejected', final: true, source: ARC_NUMBERS },
  { in: 'http', is: 465, says: 'rejected', final: true, source: ARC_NUMBERS },
  { in: 'http', is: 466, says: 'double-spent', final: true, source: ARC_NUMBERS },
  // 467 to 469 and 475 blame the ancestors or the proofs that were sent along, not the transaction.
  { in: 'http', is: 467, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 468, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 469, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 471, says: 'rejected', final: true, source: ARC_NUMBERS },
  { in: 'http', is: 472, says: 'rejected', final: true, source: ARC_NUMBERS },
  // Its unconfirmed ancestors pay too little. It passes when they are mined.
  { in: 'http', is: 473, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 474, says: 'rejected', final: true, source: ARC_NUMBERS },
  { in: 'http', is: 475, says: 'local', source: ARC_NUMBERS },
  { in: 'http', is: 476, says: 'local', source: 'bsv-blockchain/teranode#1272' },

  { in: 'node', is: 16, says: 'rejected', final: true, source: `${NODE}: invalid` },
  { in: 'node', is: 64, says: 'rejected', final: true, source: `${NODE}: not standard` },
  { in: 'node', is: 65, says: 'rejected', final: true, source: `${NODE}: dust` },
  // The least fee of a mempool that is full; it falls again.
  { in: 'node', is: 66, says: 'local', source: `${NODE}: fee` },
  { in: 'node', is: 256, says: 'rejected', final: true, source: `${NODE}: fee absurdly high` },
  { in: 'node', is: 257, says: 'seen', source: `${NODE}: already known` },
  { in: 'node', is: 258, says: 'double-spent', source: `${NODE}: conflict` },
  { in: 'node', is: -22, says: 'rejected', final: true, source: `${NODE_RPC}: not decoded` },
  { in: 'node', is: -25, says: 'local', source: `${NODE_RPC}: missing inputs` },
  { in: 'node', is: -26, says: 'local', source: `${NODE_RPC}: refused, and the text says why` },
  { in: 'node', is: -27, says: 'seen', source: `${NODE_RPC}: already in a block` },
]

function find(place: Row['in'], value: string | number): Row | undefined {
  return TABLE.find((row) => row.in === place && (row.is instanceof RegExp ? row.is.test(String(value)) : row.is === value))
}

/** The row of a cause that a text names: by its words, or by a number as ARC ("arc error 463: …") and the node ("258: …") put it in front. */
function causeIn(text: string): Row | undefined {
  const [, arc] = /\barc error (4\d\d)\b/.exec(text) ?? []
  const [, node] = /^(\d{1,3}): /.exec(text) ?? []
  return find('cause', text) ?? (arc ? find('http', Number(arc)) : undefined) ?? (node ? find('node', Number(node)) : undefined)
}

/** Of a longer text, this many characters name its cause. */
const MAX_REASON = 1_000
const MAX_COMPETING = 100
const MAX_PROOF_DIGITS = 2 * 1024 * 1024
const REORGANISED: readonly unknown[] = ['reorg_reanchor', 'reorg_unmined']

interface About {
  txid: string
  /** status of the HTTP answer, if it is one */
  status?: number
}

/** The word of ARC or Arcade in an answer, a callback or an event. Fields of a wrong form count as absent: the service is asked again for what is missing. */
export function wordOf(said: object, { txid, status }: About): Word {
  const { txStatus, blockHash, blockHeight, merklePath, extraInfo, competingTxs, timestamp, ...error } = said as Record<string, unknown>
  const texts = [extraInfo, error.reason, error.error].filter(isText)
  const reason = [...texts, error.detail, error.title, txStatus].find(isText) ?? `HTTP status ${status}`
  const causes = cut(texts.join('; '), MAX_REASON)
  const proof = proofOf(merklePath)
  const named = typeof txStatus === 'string' ? find('status', txStatus.toUpperCase()) : proof && find('status', 'MINED')
  // A status that says how far it came is true whatever else the answer holds.
  const row =
    named && named.says !== 'local'
      ? named
      : (causeIn(causes) ?? find('http', error.status as number) ?? (status === undefined ? undefined : find('http', status)) ?? named)
  const says = row?.says ?? (status === undefined || status < 300 ? 'unknown' : 'local')
  const word: Word = {
    ...judged(txid, { ...row, says }, reason),
    ...(isMark(timestamp) && { mark: timestamp }),
  }
  if (says === 'mined') {
    const hash = hashOf(blockHash)
    if (hash) word.blockHash = hash
    if (hash && Number.isSafeInteger(blockHeight) && (blockHeight as number) > 0) word.height = blockHeight as number
    if (proof) word.proof = proof
  }
  if ((says === 'mined' || says === 'seen') && REORGANISED.includes(extraInfo)) word.reorganised = true
  if (says === 'double-spent') {
    const spender = /\bspent by tx ([0-9a-f]{64})\b/i.exec(causes)?.[1]
    const competing = Array.isArray(competingTxs) ? competingTxs.slice(0, MAX_COMPETING).map(hashOf) : []
    addCompeting(word, [...competing, hashOf(spender)])
  }
  return word
}

/** What `sendrawtransactions` says of a transaction that it did not take. */
export interface Invalid {
  txid?: unknown
  reject_code?: unknown
  reject_reason?: unknown
  collidedWith?: unknown
}

/** The word of a node on a transaction that it did not take. */
export function nodeWordOf({ reject_code: code, reject_reason: reason, collidedWith }: Invalid, { txid }: About): Word {
  const text = cut(`${typeof code === 'number' ? code : '?'}: ${isText(reason) ? reason : 'it gives no reason'}`, MAX_REASON)
  const row = find('cause', text) ?? find('node', code as number)
  const word = judged(txid, row ?? { says: 'local' }, text)
  if (word.says === 'double-spent' && Array.isArray(collidedWith))
    addCompeting(
      word,
      collidedWith.slice(0, MAX_COMPETING).map((other) => hashOf((other as { txid?: unknown } | null)?.txid)),
    )
  return word
}

function judged(txid: string, { says, final, back }: Pick<Row, 'says' | 'final' | 'back'>, reason: string): Word {
  const isBad = says === 'local' || says === 'rejected' || says === 'double-spent'
  return {
    txid,
    says,
    ...(final && { final }),
    ...(isBad && { reason: cut(reason, MAX_REASON) }),
    ...(back && { reorganised: back }),
  }
}

function addCompeting(word: Word, ids: (string | undefined)[]): void {
  const competing = [...new Set(ids)].filter((id) => id !== undefined && id !== word.txid) as string[]
  if (competing.length) word.competing = competing
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** A hash as people write it, or undefined for anything else. */
export function hashOf(value: unknown): string | undefined {
  return typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value) ? value.toLowerCase() : undefined
}

/** An empty path means that there is none yet. */
function proofOf(path: unknown): Uint8Array | undefined {
  const isHex =
    typeof path === 'string' && path !== '' && path.length % 2 === 0 && path.length <= MAX_PROOF_DIGITS && /^[0-9a-f]+$/i.test(path)
  return isHex ? new Uint8Array(Buffer.from(path, 'hex')) : undefined
}

/** A timestamp of the service. Go's programs send the year 1 for none. */
function isMark(timestamp: unknown): timestamp is string {
  return typeof timestamp === 'string' && /^\d{4}-[\dT:.Z+-]{1,60}$/.test(timestamp) && !timestamp.startsWith('0001')
}
