import { messageOf } from '../../shared/errors.ts'
import { type Block, entriesOf, entryAt, isLost, LOST } from '../../shared/ledger/block.ts'
import { scanEntries } from '../../shared/ledger/scanned.ts'
import { lengthOf, type StoredBlock } from '../../shared/store/blocks.ts'
import { isDamage } from '../../shared/store/checksum.ts'
import type { PoolControl, Signed } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Receipt } from '../../shared/store/receipts.ts'
import type { ReadCore } from './core.ts'
import { isSignedBy, TreeHash } from './signed.ts'

/** At most this many problems are listed; all are counted. */
const MAX_LISTED = 20
/** Blocks read at once. */
const PAGE = 64

/** A hypercore on a disk that cannot be reached from here. Only its last report is known. */
export const ELSEWHERE = Symbol('elsewhere')

export interface Verified {
  pool: string
  key: string
  blocks: number
  entries: number
  /** of all blocks */
  bytes: number
  receipts: number
  /** blocks in the hypercore; for one elsewhere, as last reported. Fewer than in the mirror while it catches up, which is no problem */
  coreLength: number
  /** invalid blocks of a peer: they count as having no entries */
  passedOver: number
  /** of the hypercore, 64 hex, if it has blocks */
  treeHash?: string
  /** this many blocks, from the mirror's first, are proved to be signed by the pool's key */
  signedBlocks: number
  /** for a hypercore elsewhere: this many blocks, from the mirror's first, have the tree hash that was last reported */
  reportedBlocks?: number
  problems: number
  /** the first of them, in words */
  listed: string[]
  /** faults in what the publisher of a followed pool has signed: this machine has kept it as it is, so they are no problems of this machine */
  publisherFaults: number
  /** the first of them, in words */
  publisherListed: string[]
}

/** How far a verification has come: entries checked, and entries in all when it began. */
export interface Progress {
  done: number
  total: number
}

/**
 * Reads a pool from its first block to its last. Do mirror, hypercore and receipts agree, and has the pool's key signed the mirror (Promise 1)?
 * What was last reported of the hypercore must still be in the mirror.
 * @param core undefined if there is none yet
 * @param secret the encryption key of an encrypted pool
 * @param progress is called after each page of blocks
 */
export async function verifyPool(
  pool: PoolControl,
  stores: Stores,
  hypercore: ReadCore | typeof ELSEWHERE | undefined,
  secret: string | undefined,
  progress?: (progress: Progress) => void,
): Promise<Verified> {
  const { path, key, begins } = pool
  const core = hypercore === ELSEWHERE ? undefined : hypercore
  const coreLength = hypercore === ELSEWHERE ? pool.coreLength : (core?.length ?? 0)
  const verified: Verified = {
    pool: path,
    key,
    blocks: 0,
    entries: 0,
    bytes: 0,
    receipts: 0,
    coreLength,
    passedOver: 0,
    signedBlocks: 0,
    ...(hypercore === ELSEWHERE && pool.kind !== 'peer' && { reportedBlocks: 0 }),
    problems: 0,
    listed: [],
    publisherFaults: 0,
    publisherListed: [],
  }
  const problem = (what: string) => {
    if (verified.problems++ < MAX_LISTED) verified.listed.push(what)
  }
  const publisherFault = (what: string) => {
    if (verified.publisherFaults++ < MAX_LISTED) verified.publisherListed.push(what)
  }
  if (pool.halted) problem(`the pool is halted: ${pool.halted}`)
  const signed = pool.signed ?? (await core?.signed())
  const tree = new TreeHash({ key, secret })

  const total = progress ? await entriesOfAll(stores, path) : 0
  let next = begins ? undefined : 0
  let n = begins?.block ?? 0
  const inspect = () => stores.blocks.inspect(path, n, PAGE)
  for (let page = await inspect(); page.length; page = await inspect()) {
    const signedHere = core ? await Promise.all(page.map((block) => blockOf(core, block.n, coreLength))) : []
    const entries: Receipt[] = []
    for (const [i, stored] of page.entries()) {
      if (stored.n !== n) problem(`block ${n} is missing in the mirror`)
      n = stored.n + 1
      verified.blocks++
      const block = wholeOf(stored, signedHere[i], problem)
      verified.bytes += block.bytes.length
      if (next !== undefined && block.first !== next) problem(`block ${block.n} begins with entry ${block.first}, and ${next} comes next`)
      if (signedHere[i] && Buffer.compare(signedHere[i], block.bytes) !== 0)
        problem(`block ${block.n} of the hypercore is not that of the mirror`)
      if (!begins) tree.add(block.bytes)
      if (!begins && n === signed?.length) checkSigned(key, signed, tree, verified, problem)
      if (n === pool.coreLength) checkReported(pool, tree, verified, problem)
      if (isLost(block)) problem(`the entries of block ${block.n} are lost`)
      else if (block.count) entries.push(...checkEntries(block, problem))
      else verified.passedOver++
      verified.entries += block.count
      next = block.count ? block.first + block.count : undefined // an invalid block does not say how many entries it had
    }
    verified.receipts += await checkReceipts(pool, entries, stores, problem, publisherFault)
    progress?.({ done: next ?? 0, total })
  }
  if (coreLength > n && pool.kind !== 'peer' && !pool.rebuild) problem(`the hypercore has ${coreLength} blocks, the mirror only ${n}`)
  if (core && coreLength) verified.treeHash = await core.treeHash(coreLength)
  if (hypercore === ELSEWHERE) verified.treeHash = pool.treeHash
  return verified
}

function checkSigned(key: string, signed: Signed, tree: TreeHash, verified: Verified, problem: (what: string) => void): void {
  if (tree.value !== signed.treeHash)
    problem(
      `the first ${signed.length} blocks in the mirror are not those that were signed: their tree hash is ${tree.value}, and ${signed.treeHash} was signed`,
    )
  else if (!isSignedBy(key, signed)) problem(`the signature over the first ${signed.length} blocks is not one of the pool's key`)
  else verified.signedBlocks = signed.length
}

/**
 * Compares the mirror with the length and tree hash that the sidecar last reported for the core. A core that is to be rebuilt is skipped: its tree hash may change, for
 * example by encryption. A peer's pool is skipped too: `checkSigned` compares it with its publisher's signature.
 */
function checkReported(
  { kind, coreLength, treeHash, rebuild }: PoolControl,
  tree: TreeHash,
  verified: Verified,
  problem: (what: string) => void,
): void {
  if (kind === 'peer' || rebuild || treeHash === undefined) return
  if (tree.value === treeHash) {
    if (verified.reportedBlocks !== undefined) verified.reportedBlocks = coreLength
    return
  }
  problem(
    `the first ${coreLength} blocks in the mirror are not those of the hypercore: their tree hash is ${tree.value}, and ${treeHash} was reported`,
  )
}

/** How many entries a pool has; 0 if its newest block is damaged. */
async function entriesOfAll({ blocks }: Stores, path: string): Promise<number> {
  try {
    return lengthOf(await blocks.last(path)).entries
  } catch (error) {
    if (!isDamage(error)) throw error
    return 0
  }
}

/** A block of the mirror. For a damaged one, the rest is verified with the block of the hypercore, if it is here. */
function wholeOf({ n, first, count, bytes }: StoredBlock, signed: Uint8Array | undefined, problem: (what: string) => void): Block {
  if (!bytes) problem(`block ${n} is damaged in the mirror: \`overpool repair\` takes it from the hypercore or from a peer`)
  return { n, first, count, bytes: bytes ?? signed ?? LOST }
}

/** Block n of the hypercore, if it is here. */
async function blockOf(core: ReadCore, n: number, coreLength: number): Promise<Uint8Array | undefined> {
  return n < coreLength && (await core.has(n)) ? core.get(n).catch(() => undefined) : undefined // the hypercore may be damaged, too
}

/** @returns the receipts that the entries of a block should have */
function checkEntries(block: Block, problem: (what: string) => void): Receipt[] {
  const { n, first, count } = block
  try {
    const entries = entriesOf(block)
    if (entries.length !== count) problem(`block ${n} holds ${entries.length} entries, and its item says ${count}`)
    return scanEntries(entries).map(({ id, txid }, i) => ({
      key: txid ?? id,
      id,
      ...(txid !== undefined && { txid }),
      seq: first + i,
      block: n,
    }))
  } catch (error) {
    problem(`block ${n} cannot be read: ${messageOf(error)}`)
    return []
  }
}

/** @returns how many receipts were found. Receipts of blocks after the checkpoint may still be missing */
async function checkReceipts(
  pool: PoolControl,
  entries: Receipt[],
  stores: Stores,
  problem: (what: string) => void,
  publisherFault: (what: string) => void,
): Promise<number> {
  const found = await stores.receipts.find(pool.path, entries).catch((error) => {
    if (isDamage(error)) return [] // a receipt points to a damaged block, which is a problem already
    throw error
  })
  for (const [i, { key, id, seq, block }] of entries.entries()) {
    const receipt = found[i]
    if (!receipt && block < pool.checkpoint) problem(`entry ${seq} (${key}) has no receipt`)
    if (!receipt || receipt.seq === seq) continue
    if (pool.kind === 'peer' && (await idAt(pool.path, receipt.seq, stores)) === id)
      publisherFault(`entries ${Math.min(seq, receipt.seq)} and ${Math.max(seq, receipt.seq)} (${key}) have the same id`)
    else problem(`the receipt of entry ${seq} (${key}) points to ${receipt.seq}`)
  }
  return found.filter(Boolean).length
}

/** The id of the entry at this place; undefined if there is none. */
async function idAt(path: string, seq: number, { blocks }: Stores): Promise<string | undefined> {
  const block = await blocks.find(path, seq)
  return block && entryAt(block, seq - block.first)?.id
}
