import { BlockReader } from '../../shared/chain/block.ts'
import { readHeader } from '../../shared/chain/header.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import type { Stores } from '../../shared/store/port.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import type { Wanted } from './grids.ts'
import type { ChainSource } from './source.ts'

/** A transaction as the chain has it. */
export interface OnChain {
  txid: string
  height: number
  blockHash: string
  index: number
  tx: Uint8Array
}

/** What a pool says and what the chain says, transaction by transaction. */
export interface Compared {
  /** the blocks that were read */
  from: number
  to: number
  /** transactions that both have, and the pool calls mined in that very block */
  agreed: number
  /** transactions of the pool that no block has: payments that were never sent, or are not mined yet */
  notOnChain: number
  /** transactions of the chain that the pool wants and does not have */
  missing: string[]
  /** a sentence for each transaction that the pool says something else about */
  differ: string[]
}

export interface RebuildOptions {
  stores: Pick<Stores, 'blocks' | 'statuses'>
  source: ChainSource
  /** what the pool takes from the chain beside its own transactions */
  wanted: Wanted | undefined
  /** height of the first block; default: that of the first that the pool calls mined */
  from?: number
  /** called with each transaction that the chain has for the pool */
  found?: (transaction: OnChain) => void
  progress?: (progress: { done: number; total: number }) => void
}

/** Reads the chain for the transactions of a pool, as if there were no ledger, and compares. It writes nothing. */
export async function rebuildFromChain(path: string, { stores, source, wanted, from, found, progress }: RebuildOptions): Promise<Compared> {
  if (!source.block)
    throw new OverpoolError('BAD_CONFIG', `${source.name} gives no whole blocks: read the chain from a node, or a folder of blocks`)
  const inPool = await transactionsOf(path, stores)
  const statuses = new Map((await stores.statuses.newest(path, [...inPool])).flatMap((kept) => (kept ? [[kept.txid, kept]] : [])))
  const tip = await source.tip()
  if (from !== undefined && from > tip.height)
    throw new OverpoolError('BAD_ARGUMENT', `the chain of ${source.name} ends at block ${tip.height}: --from is at most ${tip.height}`)
  let oldest = tip.height
  for (const { status, height } of statuses.values()) if (status === 'mined' && height !== undefined) oldest = Math.min(oldest, height)
  const compared: Compared = {
    from: from ?? oldest,
    to: tip.height,
    agreed: 0,
    notOnChain: 0,
    missing: [],
    differ: [],
  }
  const onChain = new Set<string>()
  let previous: string | undefined
  for (let height = compared.from; height <= tip.height; height++) {
    const [at] = await source.headers(height, 1)
    if (!at) break
    const header = readHeader(at.header)
    if (previous !== undefined && header.previous !== previous)
      throw new OverpoolError('UNAVAILABLE', 'the chain was reorganised while it was read: run it again', { retryable: true })
    previous = header.hash
    const reader = new BlockReader(source.block({ height, hash: header.hash }), {
      hash: header.hash,
      wanted: (scanned) => inPool.has(scanned.txid) || (wanted?.filter.matches(scanned) ?? false),
    })
    const block: OnChain[] = []
    for await (const page of reader.transactions())
      for (const { index, transaction } of page)
        block.push({ txid: transaction.txid, height, blockHash: header.hash, index, tx: transaction.bytes })
    for (const one of block) {
      onChain.add(one.txid)
      found?.(one)
      const kept = statuses.get(one.txid)
      if (!inPool.has(one.txid)) compared.missing.push(one.txid)
      else if (kept?.status === 'mined' && kept.blockHash === one.blockHash) compared.agreed++
      else compared.differ.push(`${one.txid} is in block ${height}, and the pool calls it ${kept ? said(kept) : 'local'}`)
    }
    progress?.({ done: height - compared.from + 1, total: tip.height - compared.from + 1 })
  }
  for (const txid of inPool) {
    if (onChain.has(txid)) continue
    const kept = statuses.get(txid)
    if (kept?.status === 'mined' && (kept.height ?? 0) >= compared.from)
      compared.differ.push(`${txid} is in no block from ${compared.from} on, and the pool calls it ${said(kept)}`)
    else compared.notOnChain++
  }
  return compared
}

function said({ status, height }: { status: string; height?: number }): string {
  return height === undefined ? status : `${status} in block ${height}`
}

async function transactionsOf(path: string, { blocks }: Pick<Stores, 'blocks'>): Promise<Set<string>> {
  const txids = new Set<string>()
  let n = 0
  for (let page = await blocks.read(path, n); page.length; page = await blocks.read(path, n)) {
    for (const block of page) {
      for (const entry of entriesOf(block)) if (entry.kind === 'tx') txids.add(scanTransaction(entry.tx).txid)
      n = block.n + 1
    }
  }
  return txids
}
