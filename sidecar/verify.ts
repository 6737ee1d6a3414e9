import { decodeBlock } from '../shared/ledger/block.ts'
import type { Entry } from '../shared/ledger/entry.ts'
import type { Mirror, PoolControl } from '../shared/mirror/port.ts'
import { scanTransaction } from '../shared/transaction/index.ts'
import type { PoolCore } from './core.ts'

/** Problems are listed up to this number; all are counted. */
const MAX_LISTED = 20
/** Blocks read at once. */
const PAGE = 64

export interface Verified {
  pool: string
  key: string
  blocks: number
  entries: number
  /** of all blocks */
  bytes: number
  receipts: number
  /** blocks in the hypercore; fewer than in the mirror when it has not caught up, which is no problem */
  coreLength: number
  /** of the hypercore, 64 hex, if it has blocks */
  treeHash?: string
  problems: number
  /** the first of them, in words */
  listed: string[]
}

/** Reads a pool from its first block to its last, and compares mirror, hypercore and receipts (Promise 1). */
export async function verifyPool(pool: PoolControl, mirror: Mirror, core: PoolCore | undefined): Promise<Verified> {
  const coreLength = core?.length ?? 0
  const verified: Verified = {
    pool: pool.path,
    key: pool.key,
    blocks: 0,
    entries: 0,
    bytes: 0,
    receipts: 0,
    coreLength,
    problems: 0,
    listed: [],
  }
  const problem = (what: string) => {
    if (verified.problems++ < MAX_LISTED) verified.listed.push(what)
  }
  if (pool.halted) problem(`the pool is halted: ${pool.halted}`)

  for (
    let blocks = await mirror.readBlocks(pool.path, 0, PAGE);
    blocks.length;
    blocks = await mirror.readBlocks(pool.path, verified.blocks, PAGE)
  ) {
    for (const block of blocks) {
      const n = verified.blocks++
      verified.bytes += block.bytes.length
      if (block.first !== verified.entries) problem(`block ${n} begins with entry ${block.first}, and ${verified.entries} comes next`)
      if (core && n < coreLength && Buffer.compare(await core.get(n), block.bytes) !== 0)
        problem(`block ${n} of the hypercore is not that of the mirror`)
      const entries = entriesOf(block.bytes, block.first, (what) => problem(`block ${n} ${what}`))
      if (entries.length !== block.count) problem(`block ${n} holds ${entries.length} entries, and its item says ${block.count}`)
      verified.receipts += await countReceipts(pool, block.n, block.first, entries, mirror, problem)
      verified.entries = block.first + block.count
    }
  }
  if (coreLength > verified.blocks) problem(`the hypercore has ${coreLength} blocks, the mirror only ${verified.blocks}`)
  if (core && coreLength) verified.treeHash = await core.treeHash(coreLength)
  return verified
}

function entriesOf(bytes: Uint8Array, first: number, problem: (what: string) => void): Entry[] {
  try {
    const block = decodeBlock(bytes)
    if (block.first !== first) problem(`says that it begins with ${block.first}, and its item says ${first}`)
    return block.entries
  } catch (error) {
    problem(`cannot be read: ${error instanceof Error ? error.message : String(error)}`)
    return []
  }
}

/** Receipts of the newest blocks may still be on their way: those after the checkpoint are counted, and none is missed. */
async function countReceipts(
  pool: PoolControl,
  n: number,
  first: number,
  entries: Entry[],
  mirror: Mirror,
  problem: (what: string) => void,
): Promise<number> {
  const wanted = entries.map(({ id, tx }) => ({ key: scanTransaction(tx).txid as string, id }))
  const found = await mirror.findReceipts(pool.path, wanted)
  found.forEach((receipt, i) => {
    if (!receipt && n < pool.checkpoint) problem(`entry ${first + i} (${wanted[i]!.key}) has no receipt`)
    if (receipt && receipt.seq !== first + i) problem(`the receipt of entry ${first + i} (${wanted[i]!.key}) points to ${receipt.seq}`)
  })
  return found.filter(Boolean).length
}
