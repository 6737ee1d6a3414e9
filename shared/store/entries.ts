import { type Block, entryReader } from '../ledger/block.ts'
import type { Entry } from '../ledger/kinds.ts'
import { type ScannedTransaction, scanTransaction } from '../transaction/index.ts'
import type { Blocks } from './blocks.ts'

/** Reads entries by their place. It keeps the block that was read last: entries that are asked for one after the other are often in one block. */
export class Entries {
  readonly #blocks: Pick<Blocks, 'find'>
  #last: { pool: string; block: Block; entry: (i: number) => Entry | undefined } | undefined

  constructor(blocks: Pick<Blocks, 'find'>) {
    this.#blocks = blocks
  }

  async at(pool: string, seq: number): Promise<Entry | undefined> {
    if (this.#last?.pool !== pool || !has(this.#last.block, seq)) {
      const block = await this.#blocks.find(pool, seq)
      if (!block) return undefined
      this.#last = { pool, block, entry: entryReader(block) }
    }
    return this.#last.entry(seq - this.#last.block.first)
  }

  /** A transaction that is no entry, from the request to broadcast it, which has its bytes. @param seq place of the request */
  async requested(pool: string, txid: string, seq: number): Promise<ScannedTransaction | undefined> {
    const request = await this.at(pool, seq)
    if (request?.kind !== 'commit') return undefined
    for (const one of request.of) {
      const scanned = 'tx' in one ? scanTransaction(one.tx) : undefined
      if (scanned?.txid === txid) return scanned
    }
    return undefined
  }
}

function has({ first, count }: Block, seq: number): boolean {
  return first <= seq && seq < first + count
}
