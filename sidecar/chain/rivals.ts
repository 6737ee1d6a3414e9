import { ChainFilter } from '../../shared/chain/filter.ts'
import type { KeptStatus } from '../../shared/ledger/status.ts'
import { Entries } from '../../shared/store/entries.ts'
import type { Stores } from '../../shared/store/port.ts'
import { allStatuses } from '../../shared/store/statuses.ts'
import { type ScannedTransaction, scanTransaction } from '../../shared/transaction/index.ts'

/** A transaction of a pool whose status is open. */
export interface Open {
  path: string
  txid: string
  /** its entry, if it has one */
  seq?: number
}

/** The outputs that the open transactions of our pools spend. When another transaction that spends one of them is mined, ours can never be mined: the double spend is over. */
export class Rivals {
  readonly #stores: Pick<Stores, 'statuses' | 'receipts' | 'blocks'>
  /** by pool and txid, with the outputs that it spends as `txid:vout` */
  #open = new Map<string, Open & { outpoints: string[] }>()
  /** who spends it, by output */
  #spends = new Map<string, Open[]>()
  #filter: ChainFilter | undefined
  readonly #entries: Entries

  constructor(stores: Pick<Stores, 'statuses' | 'receipts' | 'blocks'>) {
    this.#stores = stores
    this.#entries = new Entries(stores.blocks)
  }

  /** Learns what is open in these pools now. */
  async refresh(paths: string[]): Promise<void> {
    const open = new Map<string, Open & { outpoints: string[] }>()
    for (const path of paths) {
      const fresh: KeptStatus[] = []
      for await (const kept of allStatuses((after) => this.#stores.statuses.open(path, after))) {
        const key = `${path} ${kept.txid}`
        const known = this.#open.get(key)
        if (known) open.set(key, known)
        else fresh.push(kept)
      }
      for (const one of await this.#read(path, fresh)) open.set(`${path} ${one.txid}`, one)
    }
    this.#open = open
    this.#spends = new Map()
    for (const { outpoints, ...one } of open.values())
      for (const outpoint of outpoints) this.#spends.set(outpoint, [...(this.#spends.get(outpoint) ?? []), one])
    this.#filter = this.#spends.size ? new ChainFilter({ outpoints: [...this.#spends.keys()] }) : undefined
  }

  async #read(path: string, fresh: KeptStatus[]): Promise<(Open & { outpoints: string[] })[]> {
    const receipts = await this.#stores.receipts.oldest(
      path,
      fresh.map(({ txid }) => txid),
    )
    const places = fresh.map((kept, i) => ({ ...kept, seq: receipts[i]?.seq, status: kept.seq }))
    const found: (Open & { outpoints: string[] })[] = []
    // In the order of entries, so that each block is read once.
    for (const { txid, seq, status } of places.sort((a, b) => (a.seq ?? a.status) - (b.seq ?? b.status))) {
      const entry = seq === undefined ? undefined : await this.#entries.at(path, seq)
      const scanned = entry?.kind === 'tx' ? scanTransaction(entry.tx) : await this.#requested(path, txid, status)
      if (scanned) found.push({ path, txid, ...(entry && { seq }), outpoints: outpointsOf(scanned) })
    }
    return found
  }

  async #requested(path: string, txid: string, status: number): Promise<ScannedTransaction | undefined> {
    const said = await this.#entries.at(path, status)
    return said?.cause && this.#entries.requested(path, txid, said.cause.seq)
  }

  /** Whether a transaction spends what an open one spends; the open one itself does, too. */
  mayEnd(scanned: ScannedTransaction): boolean {
    return this.#filter?.matches(scanned) ?? false
  }

  /** The open transactions that can never be mined beside this one. */
  beatenBy(scanned: ScannedTransaction): Open[] {
    const beaten = new Map<string, Open>()
    for (const outpoint of outpointsOf(scanned))
      for (const open of this.#spends.get(outpoint) ?? []) if (open.txid !== scanned.txid) beaten.set(`${open.path} ${open.txid}`, open)
    return [...beaten.values()]
  }
}

function outpointsOf(scanned: ScannedTransaction): string[] {
  return Array.from(scanned.readInputs(), ({ txid, vout }) => `${txid}:${vout}`)
}
