import type { OverpoolError } from '../errors.ts'
import type { SpentOutput } from '../transaction/index.ts'

/**
 * What a service of the network says of a transaction, as the table in words.ts judges it.
 * - `local`: not taken, and worth another try
 * - `sent`: the service has taken it
 * - `seen`: the network has it
 * - `mined`: it is in a block; proven only by a `proof` that leads to a header of the best chain
 * - `rejected`: the network does not take it
 * - `double-spent`: another transaction spends an output that this one spends
 * - `unknown`: the service does not know it, which is no verdict
 */
export interface Word {
  txid: string
  says: 'local' | 'sent' | 'seen' | 'mined' | 'rejected' | 'double-spent' | 'unknown'
  /** of `rejected` and `double-spent`: a named cause, so only the chain can still say otherwise */
  final?: true
  /** of `local`, `rejected` and `double-spent`: why, for people */
  reason?: string
  height?: number
  blockHash?: string
  /** BUMP (BRC-74), as the service sent it: nobody has checked it */
  proof?: Uint8Array
  /** the ids of other transactions that spend the same outputs */
  competing?: string[]
  /** of `seen`: the block in which it was mined was taken back. Of `mined`: it is now in this block, not in the one before */
  reorganised?: true
  /** the service's own timestamp: it tells this word from an earlier one that is otherwise equal */
  mark?: string
}

/** A transaction on its way to the network. */
export interface Outgoing {
  tx: Uint8Array
  txid: string
  /** the outputs that its inputs spend, in the order of the inputs, where all are known: for the extended format */
  spent?: SpentOutput[]
  /** the transaction with its ancestors (BRC-62, BRC-95, BRC-96) */
  beef?: Uint8Array
}

/** Where a service is to call back, with a token for each transaction. */
export interface Callback {
  url: string
  token(txid: string): string
}

/** What a service's event stream says. `gap`: events were lost, so every open transaction is to be asked for. */
export interface StreamEvent {
  /** to go on from here: the next call's `lastEventId` */
  id?: string
  word?: Word
  gap?: true
}

export interface EventsOptions {
  lastEventId?: string
  signal: AbortSignal
  report?(error: OverpoolError): void
}

/** A service that hands transactions to the network: ARC, Arcade, a node, or a function of the user's own. */
export interface Service {
  /** for people, and for `by` of a status: `arc arc.taal.com`, `node 127.0.0.1:8332`. Never with credentials */
  readonly name: string
  /**
   * Hands over transactions, each after those that it spends.
   * @returns a word for each, in the same order
   * @throws OverpoolError UNAVAILABLE, retryable: the service is away or says nothing. Some of the transactions may have been taken
   */
  send(transactions: Outgoing[], callback?: Callback): Promise<Word[]>
  /**
   * What the service says of a transaction now.
   * @throws OverpoolError UNAVAILABLE
   */
  ask(txid: string): Promise<Word>
  /**
   * What the service says of all transactions of this machine, from an event on; only where the service was opened with a token for it. It connects again by itself, and ends
   * only when the signal is aborted.
   * @param options.report gets each failed connection, as UNAVAILABLE
   */
  events?(options: EventsOptions): AsyncGenerator<StreamEvent>
}
