import { OverpoolError } from '../errors.ts'
import { varint } from '../transaction/data.ts'
import { asDigest, type Digest, digestOf, displayed } from '../transaction/digest.ts'
import { scanTransaction } from '../transaction/index.ts'
import { type Bad, Reader } from '../transaction/reader.ts'
import { transactionIn } from '../transaction/scan.ts'
import { HEADER_BYTES, type Header, readHeader } from './header.ts'

/** A proof is read up to this size: a whole block's would be larger, and nobody sends that. */
const MAX_PROOF_BYTES = 1024 * 1024
/** As BRC-74 has it. */
const MAX_LEVELS = 64
/** An inner node is the hash of two others, and so of this many bytes. */
const INNER_BYTES = 64
/** The offset, the flag. */
const MIN_LEAF_BYTES = 2

/** In place of a node: "the node to the left of it, again", where a level of the tree has an odd number of nodes. */
const AGAIN = '*'
type Given = Digest | typeof AGAIN

/** A level of a Merkle path: nodes by their place on the level. */
type Level = Map<number, Given>

/**
 * Transactions of one block with the hashes that lead from them to the root of its Merkle tree. Only a scanner makes one, so all of its nodes lead to `root`; whether a block with
 * that root is on the best chain, `assertProves` says.
 */
export class MerkleProof {
  /** as a BUMP says */
  readonly blockHeight: number | undefined
  /** as a TSC proof says */
  readonly blockHash: string | undefined
  readonly #root: Digest
  readonly #indexes: Map<Digest, number> = new Map()
  /** first the nodes that were given, then those that they lead to */
  readonly #levels: Level[]
  /** how many nodes of each level were given */
  readonly #given: number[]
  readonly #marked: Set<number>

  constructor(levels: Level[], marked: Set<number>, { blockHeight, blockHash }: { blockHeight?: number; blockHash?: string }) {
    this.#given = levels.map(({ size }) => size)
    this.#root = rootOf(levels, marked)
    for (const [index, node] of levels[0]!) if (node !== AGAIN) this.#indexes.set(node, index)
    this.blockHeight = blockHeight
    this.blockHash = blockHash
    this.#levels = levels
    this.#marked = marked
  }

  /** Its transactions: those that it marks, or all if it marks none. */
  get txids(): string[] {
    const shown = [...this.#indexes].filter(([, index]) => this.#marked.size === 0 || this.#marked.has(index))
    return shown.map(([digest]) => displayed(digest))
  }

  /** Whether this proves something of a transaction. */
  has(transaction: Digest): boolean {
    return this.#indexes.has(transaction)
  }

  /** The place of a transaction in its block. @throws OverpoolError BAD_PROOF if this proves nothing of it */
  index(txid: string): number {
    const index = this.#indexes.get(asDigest(Buffer.from(txid, 'hex').reverse()))
    if (index === undefined) throw bad(`it holds nothing of the transaction ${txid}`)
    return index
  }

  /** The root that a transaction leads to, hex as in a header's `merkleRoot`. @throws OverpoolError BAD_PROOF if this proves nothing of it */
  root(txid: string): string {
    this.index(txid)
    return displayed(this.#root)
  }

  /**
   * The same as a BUMP.
   * @param height of the block, if the proof does not say it
   * @throws OverpoolError BAD_PROOF if neither says it
   */
  bump(height = this.blockHeight): Uint8Array {
    if (height === undefined) throw bad('it does not say the height of its block, which a BUMP needs')
    const given = this.#levels.map((level, n) => new Map([...level].slice(0, this.#given[n])))
    return encode(height, given, this.#marked)
  }

  /** A BUMP of one of its transactions alone, without the nodes that only others need. @throws OverpoolError BAD_PROOF if this proves nothing of it, or does not say the height */
  bumpOf(txid: string): Uint8Array {
    return this.#alone(this.index(txid))
  }

  /** The same of a transaction that this proves something of, and the root that it leads to. */
  of(transaction: Digest): { root: string; bump: Uint8Array } {
    return { root: displayed(this.#root), bump: this.#alone(this.#indexes.get(transaction)!) }
  }

  #alone(index: number): Uint8Array {
    if (this.blockHeight === undefined) throw bad('it does not say the height of its block, which a BUMP needs')
    const siblings: Given[] = []
    for (let height = 0, place = index; height < this.#levels.length; height++, place = Math.floor(place / 2)) {
      const sibling = this.#levels[height]!.get(siblingOf(place))
      if (sibling !== undefined) siblings.push(sibling) // a block of one transaction has none
    }
    return encodePath(this.blockHeight, index, this.#levels[0]!.get(index) as Digest, siblings)
  }
}

/**
 * Checks that a transaction is in the block with this header, and returns its place there. A transaction of 64 bytes is refused, for an inner node of a tree could pass for it.
 * @throws OverpoolError BAD_PROOF
 */
export function assertProves(proof: MerkleProof, transaction: { txid: string; bytes: Uint8Array }, header: Header): number {
  const { txid, bytes } = transaction
  if (bytes.length === INNER_BYTES) throw bad(`${txid} has 64 bytes, as the nodes of a Merkle tree have; nothing can be proven of it`)
  const root = proof.root(txid)
  if (root !== header.merkleRoot) throw bad(`it leads to the root ${root}; that of the block ${header.hash} is ${header.merkleRoot}`)
  return proof.index(txid)
}

// ---- BUMP (BRC-74)

const DUPLICATE = 1
const IS_TXID = 2

/**
 * Reads a BUMP, binary or hex. One of several transactions may leave out nodes that others of its nodes give.
 * @throws OverpoolError BAD_PROOF
 */
export function scanBump(bump: Uint8Array | string): MerkleProof {
  const reader = readerOf(bump)
  const proof = readBump(reader)
  if (reader.left > 0) throw bad(`it ends here and ${reader.left} more bytes follow`, reader.at)
  return proof
}

/** Reads BUMPs that lie among other bytes, such as those of BEEF. */
export class BumpReader {
  readonly #reader: Reader

  /** @param at where the first one begins. @param max bytes of all of them */
  constructor(bytes: Uint8Array, at: number, max: number) {
    this.#reader = new Reader(bytes, badAt, at, Math.min(bytes.length, at + max))
  }

  /** Where the next one begins. */
  get at(): number {
    return this.#reader.at
  }

  /** @throws OverpoolError BAD_PROOF */
  next(): MerkleProof {
    return readBump(this.#reader)
  }
}

function readBump(reader: Reader): MerkleProof {
  const blockHeight = uint(reader, 'height of the block')
  const height = reader.uint8('height of the tree')
  if (height === 0 || height > MAX_LEVELS) throw bad(`a tree of ${height} levels`, reader.at - 1)
  const levels: Level[] = []
  const marked = new Set<number>()
  while (levels.length < height) {
    const level: Level = new Map()
    const places = 2 ** (height - levels.length)
    for (let left = reader.count('leaves', MIN_LEAF_BYTES); left > 0; left--) {
      const { at } = reader
      const place = uint(reader, 'offset')
      if (place >= places) throw bad(`the offset ${place} on level ${levels.length} of a tree of ${height} levels`, at)
      if (level.has(place)) throw bad(`the offset ${place} is on level ${levels.length} twice`, at)
      const flag = reader.uint8('flag')
      if (flag !== 0 && flag !== DUPLICATE && flag !== IS_TXID) throw bad(`the flag ${flag}`, reader.at - 1)
      if (flag === IS_TXID && levels.length > 0) throw bad(`a transaction on level ${levels.length}`, at)
      if (flag === IS_TXID) marked.add(place)
      level.set(place, flag === DUPLICATE ? AGAIN : reader.digest('hash'))
    }
    levels.push(level)
  }
  return new MerkleProof(levels, marked, { blockHeight })
}

// A BUMP is made as text of a character for each byte: nodes are such text, and to join it takes less than to join buffers.

function encode(height: number, levels: Level[], marked: Set<number>): Uint8Array {
  let text = varintText(height) + String.fromCharCode(levels.length)
  for (const [n, level] of levels.entries()) {
    text += varintText(level.size)
    for (const [place, node] of [...level].sort(([a], [b]) => a - b)) text += leafText(place, node, n === 0 && marked.has(place))
  }
  return Buffer.from(text, 'latin1')
}

/** A BUMP of one leaf, whose siblings are given from the bottom up. */
function encodePath(height: number, index: number, leaf: Digest, siblings: Given[]): Uint8Array {
  let text = varintText(height) + String.fromCharCode(Math.max(siblings.length, 1))
  const [own, beside] = [leafText(index, leaf, true), siblings.length ? leafText(siblingOf(index), siblings[0]!) : '']
  text += varintText(beside ? 2 : 1) + (index % 2 === 1 ? beside + own : own + beside)
  for (let n = 1, place = Math.floor(index / 2); n < siblings.length; n++, place = Math.floor(place / 2))
    text += varintText(1) + leafText(siblingOf(place), siblings[n]!)
  return Buffer.from(text, 'latin1')
}

function leafText(place: number, node: Given, isTxid = false): string {
  return varintText(place) + (node === AGAIN ? String.fromCharCode(DUPLICATE) : String.fromCharCode(isTxid ? IS_TXID : 0) + node)
}

function varintText(value: number): string {
  return value < 0xfd ? String.fromCharCode(value) : varint(value).toString('latin1')
}

// ---- TSC

const FULL_TRANSACTION = 0x01
const TARGET_HEADER = 0x02
const TARGET_ROOT = 0x04
const TARGETS = { hash: 0, header: TARGET_HEADER, merkleroot: TARGET_ROOT } as const
/** Which types a node of a binary proof may have. A third one points into a tree, which only composite proofs have. */
const NODE_HASH = 0
const NODE_AGAIN = 1

/** What a TSC proof holds, in either form. */
interface Tsc {
  index: number
  /** the transaction, or its id as a digest */
  transaction: Uint8Array | Digest
  target: keyof typeof TARGETS
  targetBytes: Uint8Array
  nodes: Given[]
}

/**
 * Reads a TSC proof of one transaction, as the node's `getmerkleproof2` answers: the binary form, or the value that its JSON stands for. Its target is checked if it is a header
 * or a root; of a block's hash, `blockHash` tells.
 * @throws OverpoolError BAD_PROOF
 */
export function scanTsc(proof: unknown): MerkleProof {
  const { index, transaction, target, targetBytes, nodes } = proof instanceof Uint8Array ? tscOfBytes(proof) : tscOfJson(proof)
  if (nodes.length > MAX_LEVELS) throw bad(`${nodes.length} nodes, more than the ${MAX_LEVELS} levels of the highest tree`)
  if (index >= 2 ** nodes.length) throw bad(`the index ${index} is beyond a tree of ${nodes.length} levels`)
  const leaf = typeof transaction === 'string' ? transaction : digestOfTransaction(transaction)
  const levels = pathLevels(index, leaf, nodes)
  const header = target === 'header' ? headerOf(targetBytes) : undefined
  const blockHash = target === 'merkleroot' ? undefined : (header?.hash ?? displayed(asDigest(targetBytes)))
  const merkle = new MerkleProof(levels, new Set([index]), { blockHash })
  const expected = target === 'merkleroot' ? displayed(asDigest(targetBytes)) : header?.merkleRoot
  const root = merkle.root(displayed(leaf))
  if (expected !== undefined && root !== expected) throw bad(`it leads to the root ${root}, not to ${expected}, which is its target`)
  return merkle
}

function tscOfBytes(bytes: Uint8Array): Tsc {
  const reader = readerOf(bytes)
  const flags = reader.uint8('flags')
  const known = FULL_TRANSACTION | TARGET_HEADER | TARGET_ROOT
  const target = targetOfFlags(flags & ~FULL_TRANSACTION)
  if (flags & ~known || !target) throw bad(`the flags ${flags}: only a branch of one transaction can be read`, 0)
  const index = uint(reader, 'index')
  const transaction =
    flags & FULL_TRANSACTION ? reader.take(uint(reader, 'length of the transaction'), 'transaction') : reader.digest('hash')
  const targetBytes = reader.take(target === 'header' ? HEADER_BYTES : 32, 'target')
  const nodes: Given[] = []
  for (let left = reader.count('nodes', 1); left > 0; left--) {
    const { at } = reader
    const type = reader.uint8('type of a node')
    if (type !== NODE_HASH && type !== NODE_AGAIN) throw bad(`a node of type ${type}`, at)
    nodes.push(type === NODE_AGAIN ? AGAIN : reader.digest('hash'))
  }
  if (reader.left > 0) throw bad(`it ends here and ${reader.left} more bytes follow`, reader.at)
  return { index, transaction, target, targetBytes, nodes }
}

function targetOfFlags(flags: number): Tsc['target'] | undefined {
  return (Object.keys(TARGETS) as Tsc['target'][]).find((name) => TARGETS[name] === flags)
}

function tscOfJson(json: unknown): Tsc {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw bad('it is neither bytes nor a JSON object')
  const { index, txOrId, target, targetType = 'hash', nodes, proofType = 'branch', composite = false } = json as Record<string, unknown>
  if (!Number.isSafeInteger(index) || (index as number) < 0) throw bad('its index is not a whole number')
  if (proofType !== 'branch' || composite !== false) throw bad('only a branch of one transaction can be read')
  // The node says "merkleroot", the standard "merkleRoot".
  const kind = typeof targetType === 'string' ? targetType.toLowerCase() : ''
  if (!Object.hasOwn(TARGETS, kind)) throw bad('its targetType is neither "hash" nor "header" nor "merkleRoot"')
  if (!Array.isArray(nodes) || nodes.length > MAX_LEVELS) throw bad(`its nodes are no list of at most ${MAX_LEVELS}`)
  const transaction = hexBytes(txOrId, 'txOrId')
  const targetBytes = hexBytes(target, 'target')
  const size = kind === 'header' ? HEADER_BYTES : 32
  if (targetBytes.length !== size) throw bad(`its target has ${targetBytes.length} bytes, not ${size}`)
  return {
    index: index as number,
    transaction: transaction.length === 32 ? asDigest(transaction.reverse()) : transaction,
    target: kind as Tsc['target'],
    targetBytes: kind === 'header' ? targetBytes : targetBytes.reverse(),
    nodes: nodes.map((node, n) => (node === AGAIN ? AGAIN : digestOfHex(node, `nodes[${n}]`))),
  }
}

function digestOfTransaction(bytes: Uint8Array): Digest {
  try {
    return scanTransaction(bytes).digest
  } catch (cause) {
    throw bad('its transaction is none', undefined, cause)
  }
}

function headerOf(bytes: Uint8Array): Header {
  try {
    return readHeader(bytes)
  } catch (cause) {
    throw bad('its target is no header of a block', undefined, cause)
  }
}

// ---- the tree

/** The levels of the path of one leaf, whose siblings are given from the bottom up. */
function pathLevels(index: number, leaf: Digest, siblings: Iterable<Given>): Level[] {
  const levels: Level[] = [new Map([[index, leaf]])]
  let place = index
  let height = 0
  for (const node of siblings) {
    ;(levels[height] ??= new Map()).set(siblingOf(place), node)
    place = Math.floor(place / 2)
    height++
  }
  return levels
}

/**
 * Computes the root, and refuses what no honest tree holds: a node without its sibling, a node that is not the hash of the two below it, two equal ones side by side
 * (CVE-2012-2459: the same transaction would have two places), and an inner node that is the hash of a transaction of 64 bytes, under which anything could be hung. Where a level
 * gives the last node of an odd level twice instead of marking it, the second becomes a mark.
 * The nodes that it computes are added to `levels`.
 */
function rootOf(levels: Level[], marked: Set<number>): Digest {
  const leaves = levels[0]!
  const [first] = leaves
  if (!first) throw bad('it holds no transaction')
  if (levels.length === 1 && leaves.size === 1) {
    if (first[0] !== 0 || first[1] === AGAIN) throw bad('its only transaction is not the first of the block')
    return first[1]
  }
  let above: Level = leaves
  /** the last place on the next level of which the node is computed */
  let computed = -1
  for (let height = 0; height < levels.length; height++) {
    const nodes = levels[height]!
    above = levels[height + 1] ?? new Map()
    const lastComputed = computed
    computed = -1
    for (const [place, left] of nodes) {
      const sibling = nodes.get(siblingOf(place))
      if (sibling === undefined) throw bad(`the node ${siblingOf(place)} on level ${height} is missing`)
      if (place % 2 === 1) continue
      if (left === AGAIN) throw bad(`the node ${place} on level ${height} has none to its left that it could repeat`)
      const repeats = sibling === AGAIN || sibling === left
      if (repeats) {
        const last = lastOf(nodes)
        if (place + 1 !== last || lastComputed === last || (height === 0 && marked.has(last)))
          throw bad(`the nodes ${place} and ${place + 1} on level ${height} are the same`)
        nodes.set(last, AGAIN)
      }
      const parent = Math.floor(place / 2)
      const node = innerNode(left, repeats ? left : sibling)
      const given = above.get(parent)
      if (given === undefined) above.set(parent, node)
      else if (given !== node) throw bad(`the node ${parent} on level ${height + 1} is not the hash of the two below it`)
      computed = Math.max(computed, parent)
    }
  }
  return above.get(0) as Digest
}

function lastOf(nodes: Level): number {
  let last = 0
  for (const place of nodes.keys()) if (place > last) last = place
  return last
}

function siblingOf(place: number): number {
  return place % 2 === 1 ? place - 1 : place + 1
}

const pair = Buffer.alloc(INNER_BYTES)

function hashOfPair(left: Digest, right: Digest): Digest {
  pair.write(left, 0, 'latin1')
  pair.write(right, 32, 'latin1')
  return digestOf(pair)
}

/** The node above two others, unless the two are a transaction of 64 bytes: about one of 2^43 honest pairs looks like one. */
function innerNode(left: Digest, right: Digest): Digest {
  const node = hashOfPair(left, right)
  if (isTransaction(pair)) throw bad(`the inner node ${displayed(node)} is a transaction`)
  return node
}

/** Whether these 64 bytes are a transaction with an input and an output, of which they have room for one each. */
function isTransaction(bytes: Uint8Array): boolean {
  return bytes[4] === 1 && transactionIn(bytes)?.outputCount === 1
}

/** A node of a growing tree that some marked leaf hangs below. */
interface Branch {
  hash: Digest
  sibling?: Given
  above?: Branch
}

/** The root of a part of a tree, with as many leaves as its level says. */
interface Part {
  hash: Digest
  /** if it holds a marked leaf */
  branch?: Branch
}

/** The proof of a marked leaf. */
export interface LeafProof {
  index: number
  txid: string
  /** a BUMP */
  proof: Uint8Array
}

/**
 * A Merkle tree whose leaves come one after the other. It keeps the marked ones, the nodes above these, and one node of each level, but not the other leaves: its memory grows
 * with the number of marks and with the height of the tree only.
 */
export class MerkleStream {
  #count = 0
  /** the left node of each level that still waits for its sibling */
  readonly #waiting: (Part | undefined)[] = []
  readonly #marks: { index: number; branch: Branch }[] = []
  #root: Digest | undefined

  /** How many leaves were added. */
  get count(): number {
    return this.#count
  }

  /**
   * Adds the next transaction of the block.
   * @param isMarked its proof is wanted
   * @throws OverpoolError BAD_PROOF if two neighbours are the same: the same root would stand for a block with fewer transactions (CVE-2012-2459)
   */
  add(hash: Digest, isMarked = false): void {
    if (this.#root !== undefined) throw bad('its root is known, so no leaf can follow')
    const part: Part = { hash }
    if (isMarked) this.#marks.push({ index: this.#count, branch: (part.branch = { hash }) })
    this.#count++
    this.#put(part, 0)
  }

  /** The root of all leaves, hex as in a header's `merkleRoot`; none can follow. @throws OverpoolError BAD_PROOF if there are none */
  root(): string {
    this.#root ??= this.#end()
    return displayed(this.#root)
  }

  /** The proofs of the marked leaves in their order, made one by one. @param height of the block */
  *proofs(height: number): Generator<LeafProof, void, void> {
    this.root()
    for (const { index, branch } of this.#marks) {
      yield { index, txid: displayed(branch.hash), proof: encodePath(height, index, branch.hash, [...siblingsOf(branch)]) }
    }
  }

  #put(part: Part, level: number): void {
    for (let at = level; ; at++) {
      const left = this.#waiting[at]
      if (!left) {
        this.#waiting[at] = part
        return
      }
      if (left.hash === part.hash) throw bad(`the transaction ${this.#count - 1} and those before it repeat earlier ones (CVE-2012-2459)`)
      this.#waiting[at] = undefined
      part = above(left, part)
    }
  }

  /** Completes each level of an odd number of nodes by its last one. */
  #end(): Digest {
    if (this.#count === 0) throw bad('a block without a transaction has no root')
    for (let level = 0; ; level++) {
      const last = this.#waiting[level]
      if (!last) continue
      if (level === this.#waiting.length - 1) return last.hash
      this.#waiting[level] = undefined
      this.#put(above(last), level + 1)
    }
  }
}

/** @param right undefined: the left one again */
function above(left: Part, right?: Part): Part {
  const part: Part = { hash: hashOfPair(left.hash, right?.hash ?? left.hash) }
  if (!left.branch && !right?.branch) return part
  part.branch = { hash: part.hash }
  if (left.branch) {
    left.branch.sibling = right?.hash ?? AGAIN
    left.branch.above = part.branch
  }
  if (right?.branch) {
    right.branch.sibling = left.hash
    right.branch.above = part.branch
  }
  return part
}

function* siblingsOf(leaf: Branch): Generator<Given, void, void> {
  for (let branch: Branch | undefined = leaf; branch?.sibling !== undefined; branch = branch.above) yield branch.sibling
}

// ---- bytes

const badAt: Bad = (what, at) => bad(what, at)

function readerOf(proof: Uint8Array | string): Reader {
  const bytes = typeof proof === 'string' ? hexBytes(proof, 'text') : proof
  if (!(bytes instanceof Uint8Array)) throw bad('it is neither bytes nor hex')
  if (bytes.length > MAX_PROOF_BYTES) throw bad(`it has ${bytes.length} bytes, more than the ${MAX_PROOF_BYTES} that are read`)
  return new Reader(bytes, badAt)
}

/** A varint that fits a number. */
function uint(reader: Reader, what: string): number {
  const { at } = reader
  const value = reader.varint(what)
  if (!Number.isSafeInteger(value)) throw bad(`${what} of 2^53 or more`, at)
  return value
}

function digestOfHex(hex: unknown, what: string): Digest {
  const bytes = hexBytes(hex, what)
  if (bytes.length !== 32) throw bad(`its ${what} has ${bytes.length} bytes, not 32`)
  return asDigest(bytes.reverse())
}

function hexBytes(hex: unknown, what: string): Buffer {
  if (typeof hex === 'string' && hex.length > 2 * MAX_PROOF_BYTES)
    throw bad(`its ${what} has more than the ${MAX_PROOF_BYTES} bytes that are read`)
  if (typeof hex !== 'string' || hex.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(hex)) throw bad(`its ${what} is not hex`)
  return Buffer.from(hex, 'hex')
}

function bad(what: string, at?: number, cause?: unknown): OverpoolError {
  return new OverpoolError('BAD_PROOF', `bad Merkle proof${at === undefined ? '' : ` at byte ${at}`}: ${what}`, { cause })
}
