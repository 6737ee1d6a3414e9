import { BlockReader } from '../../shared/chain/block.ts'
import type { PlacedHeader } from '../../shared/chain/header.ts'
import { assertProves, scanBump } from '../../shared/chain/merkle.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { type ScannedTransaction, scanTransaction } from '../../shared/transaction/index.ts'
import { type Wanted, wants } from './grids.ts'
import type { PoolTransactions } from './pool-transactions.ts'
import type { ChainSource } from './source.ts'
import type { TxidSet } from './txid-set.ts'

/** What a pool looks for in a block. */
export interface Search {
  path: string
  /** transactions that become entries */
  wanted?: Wanted | undefined
  /** transactions that get a status */
  known?: PoolTransactions | undefined
  /** every transaction becomes an entry */
  all?: boolean
}

/** A transaction of a block that some pools look for. */
export interface Found {
  scanned: ScannedTransaction
  txid: string
  /** its place in the block */
  index: number
  /** BUMP */
  proof: Uint8Array
  /** the pools that look for it */
  pools: Set<string>
}

export interface FindOptions {
  source: ChainSource
  /** whether a transaction is looked for whatever the pools look for */
  also: (scanned: ScannedTransaction) => boolean
  /** is told of every transaction of the block */
  txids: TxidSet
}

/**
 * The transactions of a block that any pool looks for, in their order. It resolves when the last transaction is read and the Merkle root is right: until then nothing counts.
 * @throws OverpoolError UNAVAILABLE, BAD_BLOCK, CHAIN_LIES; BAD_CONFIG if the source cannot find what a pool looks for
 */
export function findIn(header: PlacedHeader, searches: readonly Search[], options: FindOptions): Promise<Found[]> {
  const { source } = options
  return source.block ? readWhole(header, source.block(header), searches, options) : ask(header, searches, source)
}

async function readWhole(
  header: PlacedHeader,
  chunks: AsyncIterable<Uint8Array>,
  searches: readonly Search[],
  { also, txids }: FindOptions,
): Promise<Found[]> {
  const pools = new Map<number, Set<string>>()
  const wanted = (scanned: ScannedTransaction, index: number) => {
    txids.addDigest(scanned.digest)
    let by: Set<string> | undefined
    if (also(scanned)) by = new Set()
    for (const search of searches)
      if (search.all || search.known?.mayHaveDigest(scanned.digest) || wants(search, scanned)) by = (by ?? new Set()).add(search.path)
    if (by) pools.set(index, by)
    return by !== undefined
  }
  const reader = new BlockReader(chunks, { wanted, hash: header.hash })
  const found: Omit<Found, 'proof'>[] = []
  for await (const page of reader.transactions())
    for (const { index, transaction } of page) found.push({ scanned: transaction, txid: transaction.txid, index, pools: pools.get(index)! })
  const proofs = [...reader.proofs(header.height)]
  return found.map((one, i) => ({ ...one, proof: proofs[i]!.proof }))
}

/** Asks a source that gives no whole blocks: it finds transactions by what is wanted, and proves each. */
async function ask(header: PlacedHeader, searches: readonly Search[], source: ChainSource): Promise<Found[]> {
  const found = new Map<string, Found>()
  for (const { path, wanted, all } of searches) {
    if (all || !source.matching)
      throw new OverpoolError('BAD_CONFIG', `${source.name} gives no whole blocks, so "${path}" needs a filter that says what to ask for`)
    if (!wanted) continue
    for await (const { tx, index, proof } of source.matching(header, wanted.filter, wanted.asked)) {
      const scanned = scanTransaction(tx)
      const { txid } = scanned
      if (assertProves(scanBump(proof), { txid, bytes: tx }, header) !== index)
        throw new OverpoolError('CHAIN_LIES', `${source.name} names a wrong place of ${txid} in block ${header.height}`)
      const one = found.get(txid) ?? { scanned, txid, index, proof, pools: new Set() }
      found.set(txid, { ...one, pools: one.pools.add(path) })
    }
  }
  return [...found.values()].sort((a, b) => a.index - b.index)
}
