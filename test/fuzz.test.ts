import { describe } from 'vitest'
import { readPayment } from '../shared/bip270/payment.ts'
import { statusIn } from '../shared/broadcast/arc.ts'
import { eventOf } from '../shared/broadcast/arcade.ts'
import { callbackToken, readCallback } from '../shared/broadcast/callbacks.ts'
import { EventScanner } from '../shared/broadcast/events.ts'
import { sentOf } from '../shared/broadcast/node.ts'
import type { Word } from '../shared/broadcast/service.ts'
import { jsonOf } from '../shared/broadcast/wire.ts'
import { nodeWordOf, wordOf } from '../shared/broadcast/words.ts'
import { readTransaction } from '../shared/chain/any-format.ts'
import { scanBeef } from '../shared/chain/beef.ts'
import { scanBump } from '../shared/chain/merkle.ts'
import { OverpoolError } from '../shared/errors.ts'
import { decodeBlock, encodeBlock, entryAt } from '../shared/ledger/block.ts'
import { decodeEntry, encodeEntry } from '../shared/ledger/entry-codec.ts'
import type { EntryId, TxEntry } from '../shared/ledger/kinds.ts'
import { decodeBell, decodeIngress, encodeBell, encodeIngress } from '../shared/ledger/messages.ts'
import {
  extendedFormat,
  parseTransaction,
  readSpent,
  type ScannedTransaction,
  scanExtended,
  scanTransaction,
  transactionFromHex,
} from '../shared/transaction/index.ts'
import { atomic, beef, field, threeSteps, V1, V2 } from './formats/made.ts'
import { fuzz, realTransactions, type Target } from './fuzz.ts'

const transactions = realTransactions()
const entries = someEntries()
const blocks = [entries.slice(0, 1), entries, Array.from({ length: 300 }, () => entries[0]!)].map((list, n) =>
  encodeBlock(n, n * 100, list),
)

const statuses = someStatuses()

const TARGETS: Target[] = [
  { name: 'scanTransaction', code: 'BAD_TRANSACTION', honest: transactions, read: (bytes) => readAll(scanTransaction(bytes)) },
  {
    name: 'transactionFromHex',
    code: 'BAD_TRANSACTION',
    honest: transactions.map((bytes) => Buffer.from(bytes.toString('hex'))),
    read: (bytes) => readAll(transactionFromHex(bytes.toString('latin1'))),
  },
  {
    name: 'scanExtended',
    code: 'BAD_TRANSACTION',
    honest: [field('06-sdk-ef.hex'), field('ef-tx-004.hex'), ...transactions.slice(0, 10).map(extended)],
    read(bytes) {
      const { scanned, spent } = scanExtended(bytes)
      if (readSpent(spent).length !== scanned.inputCount) throw new Error('not one output for each input')
      readAll(scanned)
    },
  },
  {
    name: 'scanBeef',
    code: 'BAD_TRANSACTION',
    honest: beefs(),
    read: (bytes) => readBeef(scanBeef(bytes)),
  },
  {
    name: 'readTransaction of text',
    code: 'BAD_TRANSACTION',
    honest: [...beefs(), field('06-sdk-ef.hex'), transactions[0]!].flatMap((bytes) =>
      (['hex', 'base64'] as const).map((notation) => Buffer.from(bytes.toString(notation))),
    ),
    read: (bytes) => readAll(readTransaction(bytes.toString('latin1')).scanned),
  },
  {
    name: 'readPayment with a list of bytes',
    code: ['BAD_TRANSACTION', 'BAD_PAYMENT', 'MALFORMED_PAYMENT'],
    honest: [...beefs(), transactions[0]!].map((bytes) => Buffer.from(JSON.stringify({ memo: 'x', transaction: [...bytes] }))),
    read: (bytes) => readPayment(bytes, 'json'),
  },
  { name: 'decodeEntry', code: 'BAD_BLOCK', honest: entries.map((bytes) => Buffer.from(bytes)), read: decodeEntry },
  { name: 'decodeBlock', code: 'BAD_BLOCK', honest: blocks.map(({ bytes }) => Buffer.from(bytes)), read: decodeBlock },
  {
    name: 'entryAt',
    code: 'BAD_BLOCK',
    honest: blocks.map(({ bytes }) => Buffer.from(bytes)),
    read: (bytes) => entryAt({ count: 1, bytes }, bytes.length % 3),
  },
  {
    name: 'decodeIngress',
    code: 'BAD_MESSAGE',
    honest: entries.map((entry) => Buffer.from(encodeIngress({ pool: 'mypool', id: hexOf(1), txid: hexOf(2), named: true, entry }))),
    read: decodeIngress,
  },
  {
    name: 'decodeBell',
    code: 'BAD_MESSAGE',
    honest: [{ pool: 'mypool', n: 7 }, ...blocks.map((block) => ({ pool: hexOf(3), n: block.n, block }))].map((bell) =>
      Buffer.from(encodeBell(bell)),
    ),
    read: decodeBell,
  },
  {
    name: 'readCallback',
    code: 'BAD_CALLBACK',
    honest: [...statuses, `[${statuses.join()}]`, `{"count":2,"callbacks":[${statuses.slice(0, 2).join()}]}`].map((text) =>
      Buffer.from(text),
    ),
    read: (bytes) => checkWords(unlessForged(() => readCallback(bytes, `Bearer ${callbackToken('secret', hexOf(6))}`, 'secret'))),
  },
  {
    name: 'an answer of ARC or Arcade',
    code: 'UNAVAILABLE',
    honest: statuses.map((text) => Buffer.from(text)),
    read: (body) => {
      const answer = { status: 200, headers: new Headers(), body }
      checkWords([wordOf(statusIn('arc', answer, hexOf(6)), { txid: hexOf(6), status: 200 })])
    },
  },
  {
    name: 'an event stream of Arcade',
    code: 'BAD_MESSAGE',
    honest: statuses.map((text, n) =>
      Buffer.from(`: keepalive\r\n\r\nid: ${n}\nevent: status\ndata: ${text}\n\nevent: weather\ndata: fine\n\n`),
    ),
    read: (bytes) => {
      const scanner = new EventScanner()
      const text = bytes.toString()
      const half = text.length >> 1
      const events = [text.slice(0, half), text.slice(half)].flatMap((part) => scanner.push(part)).map(eventOf)
      checkWords(events.flatMap((event) => event?.word ?? []))
      if (!events.some((event) => event?.word)) throw new OverpoolError('BAD_MESSAGE', 'no event of it can be read')
    },
  },
  {
    name: 'an answer of a node',
    code: 'BAD_MESSAGE',
    honest: [
      `{"known":["${hexOf(6)}"],"evicted":["${hexOf(7)}"]}`,
      `{"invalid":[{"txid":"${hexOf(6)}","reject_code":258,"reject_reason":"txn-mempool-conflict","collidedWith":[{"txid":"${hexOf(7)}","hex":"00"}]}]}`,
      `{"invalid":[{"txid":"${hexOf(6)}","reject_code":64,"reject_reason":"bad-txns-nonfinal"}]}`,
    ].map((text) => Buffer.from(text)),
    read: (body) => {
      const answer = jsonOf({ body })
      if (answer === undefined) throw new OverpoolError('BAD_MESSAGE', 'it is no JSON')
      checkWords([...sentOf(answer).invalid.values()].map((invalid) => nodeWordOf(invalid, { txid: hexOf(6) })))
    },
  },
]

describe('bytes from outside', () => fuzz(TARGETS))

function readAll(scanned: ScannedTransaction): void {
  const [inputs, outputs] = [[...scanned.readInputs()], [...scanned.readOutputs()]]
  if (scanned.txid.length !== 64 || inputs.length !== scanned.inputCount || outputs.length !== scanned.outputCount)
    throw new Error('the sizes of its parts do not add up to its own size')
  JSON.stringify(parseTransaction(scanned))
}

/** A word has a bounded length, whatever it was made of, and only hashes where hashes belong. */
function checkWords(words: Word[]): void {
  for (const { txid, blockHash = txid, competing = [], reason = '', height = 1, proof } of words) {
    for (const hash of [txid, blockHash, ...competing]) if (!/^[0-9a-f]{64}$/.test(hash)) throw new Error(`${hash} is no hash`)
    if (reason.length > 1_100 || competing.length > 101) throw new Error('a word is too long')
    if (!Number.isSafeInteger(height) || proof?.length === 0) throw new Error('a word says nothing with a field')
  }
}

/** The words of a callback; none if it is forged, as a callback with another txid is. */
function unlessForged(read: () => Word[]): Word[] {
  try {
    return read()
  } catch (error) {
    if (error instanceof OverpoolError && error.code === 'CALLBACK_FORGED') return []
    throw error
  }
}
/** What is read of a BEEF can be read again by itself, and each proof holds its transaction. */
function readBeef({ subject, along }: ReturnType<typeof scanBeef>): void {
  readAll(subject)
  for (const { txid, tx, proof } of along) {
    if (scanTransaction(tx!).txid !== txid) throw new Error(`another transaction than ${txid}`)
    if (proof && scanBump(proof.bump).root(txid) !== proof.root) throw new Error(`another root of ${txid}`)
  }
}

// ---- honest bytes

function beefs(): Buffer[] {
  const { subject, bump, members } = threeSteps()
  const files = ['06-sdk-beef.hex', '06-sdk-atomic.hex', 'beef-v1-tx-003.hex', 'beef-v1-go-sdk-168.hex'].map(field)
  return [...files, beef(V1, [bump], members), beef(V2, [bump], members), atomic(subject, beef(V2, [bump, bump], members))]
}

function extended(bytes: Buffer): Buffer {
  const spent = Array.from({ length: scanTransaction(bytes).inputCount }, (_, n) => ({ satoshis: BigInt(n), script: Buffer.alloc(25, n) }))
  return Buffer.from(extendedFormat(bytes, spent))
}

function someEntries(): Uint8Array[] {
  const plain: TxEntry = { kind: 'tx', id: hexOf(4), at: 1_700_000_000_000, tx: transactions[0]!, payment: {}, source: 'http', hops: 0 }
  return [
    plain,
    { ...plain, payment: { merchantData: 'table 7', refundTo: 'someone@example.com', memo: 'Zwei Käse, bitte ☕' } },
    {
      ...plain,
      payment: { merchantData: { table: 7, items: [1, 2.5, -3, null, true, { deep: [[['er']]] }] } },
      unknown: { later: [1, 2, 3] },
    },
    { ...plain, source: 'handler' as const, cause: { key: hexOf(5), seq: 2 ** 40 }, hops: 300 },
  ].map(encodeEntry)
}

function someStatuses(): string[] {
  const timestamp = '2026-04-28T18:21:52.987654321Z'
  const place = {
    blockHash: hexOf(8),
    blockHeight: 813_706,
    merklePath: 'fe8a6a0c000c04fde80b0011774f01d26412f0d16ea3f0447be0b5ebec67b0782e321a7a',
  }
  return [
    { txStatus: 'SEEN_ON_NETWORK', extraInfo: '', merklePath: '', blockHash: '', blockHeight: 0 },
    { txStatus: 'MINED', ...place, extraInfo: 'reorg_reanchor' },
    { txStatus: 'REJECTED', status: 466, extraInfo: `UTXO_SPENT (70): ${hexOf(7)}:0 utxo already spent by tx ${hexOf(9)}[0]` },
    { txStatus: 'DOUBLE_SPEND_ATTEMPTED', competingTxs: [hexOf(7), hexOf(9)] },
    { status: 463, title: 'Malformed transaction', detail: 'arc error 463: a script', extraInfo: 'arc error 463: a script' },
  ].map((status) => JSON.stringify({ timestamp, txid: hexOf(6), ...status }))
}

function hexOf(byte: number): EntryId {
  return byte.toString(16).padStart(2, '0').repeat(32) as EntryId
}
