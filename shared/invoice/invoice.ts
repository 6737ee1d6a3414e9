import { randomBytes } from 'node:crypto'
import type { EntryId, EntryInvoice } from '../ledger/kinds.ts'
import type { ScannedTransaction } from '../transaction/index.ts'
import { MAX_SATOSHIS } from '../transaction/reader.ts'
import type { InvoiceOutput } from './view.ts'

/** Bytes of an invoice's id. */
export const ID_BYTES = 16
/** An id as it stands in a URL: base64url. */
export const INVOICE_ID = /^[\w-]{22}$/

/** A fresh place for money to come to. */
export interface FreshOutput {
  /** locking script, hex */
  script: string
  address: string
  /** of its key, from `receive` on */
  keyPath: string
}

/** Makes a script for each key below `receive`. */
export interface FreshOutputs {
  /** @param keyPath of the key: `0/7` for an invoice that is kept, so that a wallet with this xpub finds it; that of `keyPathOf` for another */
  at(keyPath: string): FreshOutput
}

/** What a pool asks of somebody: an invoice that is kept, or a payment request that nobody keeps until it is paid. */
export interface Invoice {
  id: string
  /** the pool's path */
  pool: string
  outputs: InvoiceOutput[]
  memo?: string
  /** ms since 1970 */
  createdAt: number
  expiresAt?: number
  /** until when the chain is watched for what is sent to its fresh scripts; absent: it is not */
  watchedUntil?: number
  /** what the program that asks wants to know again when it is paid */
  data?: unknown
}

/** The payment that has turned an invoice to paid. There is one at most. */
export interface InvoiceClaim {
  /** its entry */
  entry: EntryId
  txid: string
  /** decided once, whenever the payment is sent again */
  state: 'paid' | 'overpaid'
  /** satoshis */
  received: number
  /** ms since 1970 */
  at: number
  /** the outputs that it spends, `txid:vout`, the first ones of many */
  spends: string[]
}

/** Fresh scripts of an invoice, which no other invoice has: the chain is watched for what is sent to them. */
export interface WatchedInvoice {
  pool: string
  id: string
  /** locking scripts, hex */
  scripts: string[]
  /** ms since 1970 */
  createdAt: number
  until: number
}

/** An invoice is watched for this time after it expires, and one that never expires for this time after it was made, ms. */
const [WATCHED_MS, LONGEST_WATCHED_MS] = [7 * 86_400_000, 365 * 86_400_000]

/** How many spent outputs a claim keeps, to recognise a payment of the same money. */
const MAX_SPENDS = 100

export function newInvoiceId(): string {
  return randomBytes(ID_BYTES).toString('base64url')
}

/** Numbers of keys that BIP32 derives without the private key. */
const MAX_KEY = 2 ** 31

/** The key of an output of a request that nobody keeps, from `receive` on: it follows from the id. @param output its number */
export function keyPathOf(id: string, output: number): string {
  const bytes = Buffer.from(id, 'base64url')
  return `1/${bytes.readUInt32BE(0) % MAX_KEY}/${(bytes.readUInt32BE(4) + output) % MAX_KEY}`
}

/** What is watched of an invoice that is made; undefined if it asks for nothing at a fresh script. */
export function watchedOf({ pool, id, outputs, createdAt, expiresAt }: Invoice): WatchedInvoice | undefined {
  const scripts = outputs.flatMap(({ script, keyPath }) => (keyPath === undefined ? [] : [script]))
  const until = expiresAt === undefined ? createdAt + LONGEST_WATCHED_MS : expiresAt + WATCHED_MS
  return scripts.length ? { pool, id, scripts, createdAt, until } : undefined
}

/** Satoshis that are asked for. */
export function dueOf({ outputs }: Pick<Invoice, 'outputs'>): number {
  return outputs.reduce((sum, { satoshis }) => sum + satoshis, 0)
}

/**
 * What a transaction pays of an invoice. Each output that was asked for needs one of its own, with its script and at least its amount; further outputs do not matter.
 * @returns `all`: it pays in full. `any`: it pays something that was asked. `received` in satoshis: of all outputs with a script that was asked for
 */
export function paidOf(
  invoice: Pick<Invoice, 'outputs'>,
  transaction: ScannedTransaction,
): { all: boolean; any: boolean; received: number } {
  const asked = new Map<string, number[]>()
  for (const { script, satoshis } of invoice.outputs) asked.set(script, [...(asked.get(script) ?? []), satoshis])
  const given = new Map<string, number[]>([...asked.keys()].map((script) => [script, []]))
  for (const { script, satoshis } of transaction.readOutputs()) given.get(Buffer.from(script).toString('hex'))?.push(Number(satoshis))
  let [all, any, received] = [true, false, 0]
  for (const [script, amounts] of asked) {
    const found = given.get(script)!.sort(descending)
    if (found.length) any = true
    received += found.reduce((sum, satoshis) => sum + satoshis, 0)
    if (!amounts.sort(descending).every((satoshis, i) => (found[i] ?? -1) >= satoshis)) all = false
  }
  return { all, any, received: Math.min(received, MAX_SATOSHIS) } // whatever a transaction says
}

/** What a payment claims when it pays an invoice in full. */
export function claimOf(
  entry: EntryId,
  { state, received }: Pick<EntryInvoice, 'state' | 'received'>,
  transaction: ScannedTransaction,
  at: number,
): InvoiceClaim {
  const spends: string[] = []
  for (const { txid, vout } of transaction.readInputs()) if (spends.push(`${txid}:${vout}`) >= MAX_SPENDS) break
  return { entry, txid: transaction.txid, state: state === 'overpaid' ? state : 'paid', received, at, spends }
}

/** Names the money of a payment by an output that it spends, whatever the order of its inputs. */
export function moneyOf({ txid, spends }: Pick<InvoiceClaim, 'txid' | 'spends'>): string {
  return spends.toSorted()[0] ?? txid
}

/** Whether two payments are the same money: one transaction, or two that cannot both be mined. */
export function isSameMoney(one: Pick<InvoiceClaim, 'txid' | 'spends'>, other: Pick<InvoiceClaim, 'txid' | 'spends'>): boolean {
  return one.txid === other.txid || one.spends.some((output) => other.spends.includes(output))
}

function descending(one: number, other: number): number {
  return other - one
}
