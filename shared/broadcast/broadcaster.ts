import type { Clock } from '../clock.ts'
import { OverpoolError, reasonOf } from '../errors.ts'
import { entriesOf } from '../ledger/block.ts'
import type { Cause, Entry } from '../ledger/kinds.ts'
import type { ScannedEntry } from '../ledger/scanned.ts'
import type { KeptStatus, StatusName } from '../ledger/status.ts'
import { acceptStatuses, type Saying } from '../machine/commit.ts'
import type { Ingress } from '../queue/port.ts'
import { findAncestor } from '../store/ancestors.ts'
import { Entries } from '../store/entries.ts'
import type { Stores } from '../store/port.ts'
import { readSpent, type ScannedTransaction, type SpentOutput, scanTransaction } from '../transaction/index.ts'
import type { Callback, Outgoing, Service, Word } from './service.ts'

export interface BroadcasterDeps {
  /** in the order in which they are tried */
  services: readonly Service[]
  stores: Pick<Stores, 'blocks' | 'receipts' | 'statuses' | 'control' | 'ancestors'>
  ingress: Ingress
  clock: Clock
  /** whether the machine knows the chain: then a proof is kept, since the writer checks it; otherwise no proof counts */
  knowsChain: boolean
  /** where services call back */
  callback?: Callback
  /** whether a pool belongs to this part of the machine, for what services say by themselves; default: all do */
  owns?: (pool: string) => boolean
}

/** A transaction to hand over, and its entry in the pool if it has one. */
export interface Pending {
  scanned: ScannedTransaction
  seq?: number
  /** what it spends may have been sent along with it */
  along?: true
  /** the status that it has, where it is known */
  now?: KeptStatus
  origin: Origin
}

/** A transaction with the outputs that it spends, of which perhaps nobody but a wallet has spoken. */
interface Doubtful extends Outgoing {
  isClaimed?: true
}

/** Where the statuses of a transaction come from: the commit entry, or nothing if the machine asks by itself. */
export interface Origin {
  cause?: Cause
  hops?: number
}

/** What somebody has said of a transaction. */
export interface Heard {
  word: Word
  /** the service */
  by?: string | undefined
  /** the entry of the transaction, and the status that it has, where they are known */
  seq?: number | undefined
  now?: KeptStatus | undefined
  origin: Origin
}

/** A lock time below this is a height, from here on it is a time, s since 1970 (Bitcoin, `LOCKTIME_THRESHOLD`). */
const LOCK_TIME_IS_TIME = 500_000_000
const FINAL_SEQUENCE = 0xffffffff
/** Inputs whose outputs are looked up for the extended format: more would take too many requests. */
const MAX_SPENT = 100

/** Transactions that are handed over together, by txid. */
type Together = ReadonlyMap<string, ScannedTransaction>

/**
 * Hands transactions to the network and records what becomes of them. All that it does can be done again: services take a transaction twice, and the pool's writer takes each
 * status once.
 */
export class Broadcaster {
  readonly #deps: BroadcasterDeps
  readonly #entries: Entries

  constructor(deps: BroadcasterDeps) {
    this.#deps = deps
    this.#entries = new Entries(deps.stores.blocks)
  }

  /**
   * Hands transactions over, in this order, to the first service that takes them, and records what each service has said. What no service takes is recorded as 'local', with the
   * reason, and tried again later (sidecar/chain/tracker.ts).
   * @throws OverpoolError UNAVAILABLE, retryable: every service is away
   */
  async handOver(pool: string, transactions: readonly Pending[]): Promise<void> {
    const { services, clock } = this.#deps
    const heard: Heard[] = []
    const due: Pending[] = []
    for (const one of transactions) {
      const reason = lockedUntil(one.scanned, clock.now())
      if (reason === undefined) due.push(one)
      else heard.push({ ...one, word: { txid: one.scanned.txid, says: 'local', reason } })
    }
    const together = new Map(transactions.map(({ scanned }) => [scanned.txid, scanned]))
    let left = await Promise.all(due.map((one) => this.#outgoing(pool, one, together)))
    const best = new Map<string, { word: Word; by: string }>()
    let failure: unknown
    for (const service of services) {
      if (!left.length) break
      try {
        const words = await this.#send(service, left)
        for (const word of words) if (word.says !== 'unknown') best.set(word.txid, { word, by: service.name })
        left = left.filter(({ txid }) => !isSettled(best.get(txid)?.word))
      } catch (error) {
        failure = error
      }
    }
    const unheard = due.filter(({ scanned }) => !best.has(scanned.txid))
    for (const one of due) {
      const { txid } = one.scanned
      const said = best.get(txid)
      if (said) heard.push({ ...one, ...said })
      else if (failure === undefined) heard.push({ ...one, word: { txid, says: 'local', reason: 'no service has said anything about it' } })
    }
    await this.record(pool, heard)
    if (unheard.length && failure !== undefined)
      throw new OverpoolError('UNAVAILABLE', `no service takes transactions now: ${reasonOf(failure)}`, { cause: failure, retryable: true })
  }

  /** Sends them to a service. What it refuses with outputs that nobody has checked is sent once more without them, and what it says then counts. */
  async #send(service: Service, outgoing: Doubtful[]): Promise<Word[]> {
    const { callback } = this.#deps
    const words = await service.send(outgoing, callback)
    const refused = new Set(words.flatMap(({ txid, says }) => (says === 'rejected' ? [txid] : [])))
    const doubtful = outgoing.flatMap(({ tx, txid, isClaimed }) => (isClaimed && refused.has(txid) ? [{ tx, txid }] : []))
    if (!doubtful.length) return words
    const settled = words.filter(({ txid }) => !doubtful.some((one) => one.txid === txid))
    return [...settled, ...(await service.send(doubtful, callback))]
  }

  /**
   * The transaction as services take it: with the outputs that it spends, if this machine has all of them. Otherwise with those that a wallet has named: nobody has checked them,
   * so a refusal says nothing of the transaction, which is then sent without them.
   */
  async #outgoing(pool: string, one: Pending, together: Together): Promise<Doubtful> {
    const { bytes: tx, txid, inputCount } = one.scanned
    if (inputCount > MAX_SPENT) return { tx, txid }
    const spent = await this.#spentBy(pool, one, together)
    if (spent || !one.along) return { tx, txid, ...(spent && { spent }) }
    const claimed = await this.#deps.stores.ancestors.spent(txid)
    const outputs = claimed && readSpent(claimed)
    return outputs?.length === inputCount ? { tx, txid, spent: outputs, isClaimed: true } : { tx, txid }
  }

  async #spentBy(pool: string, { scanned, along }: Pending, together: Together): Promise<SpentOutput[] | undefined> {
    const { ancestors } = this.#deps.stores
    const spent: SpentOutput[] = []
    for (const { txid, vout } of scanned.readInputs()) {
      const known = together.get(txid) ?? (await this.transaction(pool, txid))?.scanned
      const parent = known ?? (along && (await findAncestor(ancestors, txid)))
      const output = parent && [...parent.readOutputs()][vout]
      if (!output) return undefined
      spent.push({ satoshis: output.satoshis, script: output.script })
    }
    return spent
  }

  /** A transaction of a pool, by its oldest entry. */
  async transaction(pool: string, txid: string): Promise<Omit<Pending, 'origin'> | undefined> {
    const [receipt] = await this.#deps.stores.receipts.ofTransaction(pool, txid)
    return receipt && this.entry(pool, receipt.seq)
  }

  /** The transaction of an entry. */
  async entry(pool: string, seq: number): Promise<Omit<Pending, 'origin'> | undefined> {
    const entry = await this.#entries.at(pool, seq)
    return entry?.kind === 'tx' ? { scanned: scanTransaction(entry.tx), seq, ...(entry.along && { along: true }) } : undefined
  }

  /** The entries after this one, as far as the pool has them. */
  async *after(pool: string, seq: number): AsyncGenerator<{ seq: number; entry: Entry }, void> {
    const { blocks } = this.#deps.stores
    const next = await blocks.find(pool, seq + 1)
    for (let page = next ? [next] : []; page.length; page = await blocks.read(pool, page.at(-1)!.n + 1))
      for (const block of page)
        for (const [i, entry] of entriesOf(block).entries()) if (block.first + i > seq) yield { seq: block.first + i, entry }
  }

  /** Hands a transaction over once more, of which a status is known. */
  async sendAgain(pool: string, kept: KeptStatus): Promise<void> {
    const origin = await this.#originOf(pool, kept)
    const requested = async () => origin.cause && (await this.#entries.requested(pool, kept.txid, origin.cause.seq))
    const entry = await this.transaction(pool, kept.txid)
    const scanned = entry?.scanned ?? (await requested())
    if (scanned) await this.handOver(pool, [{ ...(entry ?? { along: true as const }), scanned, now: kept, origin }])
  }

  /** The request that a status goes back to. */
  async #originOf(pool: string, { seq }: KeptStatus): Promise<Origin> {
    const entry = await this.#entries.at(pool, seq)
    return entry?.kind === 'status' ? { hops: entry.hops, ...(entry.cause && { cause: entry.cause }) } : {}
  }

  /** Asks one service what has become of a transaction, and records it. @returns what it said */
  async ask(pool: string, kept: KeptStatus, service: Service): Promise<Word> {
    const word = await service.ask(kept.txid)
    const heard = kept.status === 'double-spent' ? await this.#withWinner(word, service) : word
    if (word.says !== 'unknown')
      await this.record(pool, [{ word: heard, by: service.name, now: kept, origin: await this.#originOf(pool, kept) }])
    return heard
  }

  /**
   * Records what a service says by itself, by a callback or an event, in each pool that knows the transaction.
   * @param by the service; default: the one that has spoken of the transaction last, which alone was given the token of its callbacks
   */
  async hear(word: Word, by?: string): Promise<void> {
    const { stores, owns } = this.#deps
    const { control, statuses } = stores
    for (const { path, kind, hasStatuses } of await control.list()) {
      if (kind === 'peer' || !hasStatuses || owns?.(path) === false) continue
      const [now] = await statuses.newest(path, [word.txid])
      if (now) await this.record(path, [{ word, by: by ?? now.by, now, origin: await this.#originOf(path, now) }])
    }
  }

  /** A double spend is over when another transaction that spends the same outputs is mined. */
  async #withWinner(word: Word, service: Service): Promise<Word> {
    if (word.says === 'mined') return word
    for (const txid of word.competing ?? []) {
      const winner = await service.ask(txid)
      if (winner.says === 'mined')
        return { ...word, says: 'double-spent', final: true, reason: `${txid} spends the same output, and is mined` }
    }
    return word
  }

  /** Records what was said of transactions, where it changes what is known. */
  async record(pool: string, heard: readonly Heard[]): Promise<void> {
    const { ingress, clock } = this.#deps
    // Who does not know a transaction says nothing about it.
    const sayings = await Promise.all(heard.filter(({ word }) => word.says !== 'unknown').map((one) => this.#saying(pool, one)))
    await acceptStatuses(pool, sayings, { ingress, now: clock.now })
  }

  async #saying(pool: string, { word, by, seq, now, origin: { cause, hops = 0 } }: Heard): Promise<Saying> {
    const { txid } = word
    const since = now?.seq ?? cause?.seq
    const undone = word.reorganised && word.says === 'seen' ? await this.#unprovenBlock(pool, now, txid) : undefined
    return {
      of: { txid, ...(seq !== undefined && { seq }) },
      // Only a named cause is final: otherwise it is sent again.
      status: (word.says === 'rejected' && !word.final ? 'local' : word.says) as StatusName,
      source: 'broadcaster',
      ...(cause && { cause }),
      hops,
      ...(word.height !== undefined && { height: word.height }),
      ...(word.blockHash !== undefined && { blockHash: word.blockHash }),
      ...(this.#deps.knowsChain && word.proof && { proof: word.proof }),
      ...(word.final && { final: true }),
      ...(undone !== undefined && { undone }),
      ...(word.reason !== undefined && { reason: word.reason }),
      ...(by !== undefined && { by }),
      ...(word.mark !== undefined && { mark: word.mark }),
      ...(since !== undefined && { since }),
    }
  }

  /** The block that a service takes back, if nothing but a service has said that the transaction is in it. */
  async #unprovenBlock(pool: string, now: KeptStatus | undefined, txid: string): Promise<string | undefined> {
    const known = now ?? (await this.#deps.stores.statuses.newest(pool, [txid]))[0]
    return known?.proven ? undefined : known?.blockHash
  }
}

/** Whether the broadcaster has something to do with these entries. @param commitsPayments whether the pool's payments may be broadcast with no request */
export function concernsBroadcaster(entries: ScannedEntry[], commitsPayments: boolean): boolean {
  return entries.some(({ kind = 'tx' }) => kind === 'commit' || (commitsPayments && kind === 'tx'))
}

/** Whether no other service has to be tried. */
function isSettled(word: Word | undefined): boolean {
  return word !== undefined && word.says !== 'local' && (word.says !== 'rejected' || word.final === true)
}

/** Why a transaction cannot be sent yet: its lock time is a time in the future. Only the network knows whether a height is reached. */
function lockedUntil(scanned: ScannedTransaction, now: number): string | undefined {
  const { lockTime } = scanned
  if (lockTime < LOCK_TIME_IS_TIME || lockTime * 1_000 <= now) return undefined
  for (const { sequence } of scanned.readInputs())
    if (sequence !== FINAL_SEQUENCE) return `its lock time is ${new Date(lockTime * 1_000).toISOString()}: it is sent then`
  return undefined
}
