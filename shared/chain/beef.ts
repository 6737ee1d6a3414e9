import { OverpoolError } from '../errors.ts'
import { asDigest, type Digest } from '../transaction/digest.ts'
import { beefByStart } from '../transaction/formats.ts'
import type { Ancestor, ScannedTransaction } from '../transaction/index.ts'
import { type Bad, Reader } from '../transaction/reader.ts'
import { SEND_RAW, scanNext } from '../transaction/scan.ts'
import { BumpReader, type MerkleProof } from './merkle.ts'

// The first four bytes, as a number.
const V1 = 0xefbe0001
const V2 = 0xefbe0002
const ATOMIC = 0x01010101

/** One leaf, its offset and flag; three numbers before it. */
const MIN_BUMP_BYTES = 37
/** A transaction without inputs and outputs, and a byte that says whether it has a proof. An id alone takes more. */
const MIN_ENTRY_BYTES = 11
/** More transactions are refused: each has to be hashed, and is kept. A long chain of unconfirmed payments has some hundreds. */
const MAX_TRANSACTIONS = 2_000
/** More bytes of proofs are refused: each of their nodes has to be hashed. A proof in the largest block has less than 1 KB. */
const MAX_PROOFS_BYTES = 512 * 1024

/** What stands before a transaction in BEEF V2. */
const RAW = 0
const RAW_WITH_PROOF = 1
const ID_ONLY = 2

/** A transaction of a BEEF. */
interface Member {
  digest: Digest
  /** undefined if only its id is given: the sender believes that the reader has it */
  scanned?: ScannedTransaction | undefined
  proof?: MerkleProof | undefined
  /** those that it spends from */
  parents: Member[]
  isSpent: boolean
  /** how far `inOrder` is with it */
  order: 'unseen' | 'begun' | 'over'
}

/** A transaction that came with its ancestors. */
export interface Beef {
  subject: ScannedTransaction
  /** its ancestors, parents before children, each once; and the subject, if it has a proof itself. Those that are given by their ids alone are left out */
  along: Ancestor[]
}

/**
 * Reads BEEF (BRC-62), BEEF V2 (BRC-96) or AtomicBEEF (BRC-95). Transactions may stand in any order. Where none is
 * named, the subject is the one that no other spends from; if there are several such, the last one in the BEEF. What has nothing to do with the subject is left out. Each proof is consistent in itself and holds its transaction; whether its root is that of a block, nobody has checked.
 * @throws OverpoolError BAD_TRANSACTION
 */
export function scanBeef(sent: Uint8Array): Beef {
  const bytes = Buffer.from(sent.buffer, sent.byteOffset, sent.length) // its ids are read many times as fast as those of other arrays
  const bad = badIn(bytes)
  const reader = new Reader(bytes, bad)
  let version = reader.uint32('version')
  const named = version === ATOMIC ? reader.digest('id of the subject') : undefined
  if (named !== undefined) version = reader.uint32('version')
  if (version !== V1 && version !== V2) throw bad('neither the mark of BEEF (0100beef) nor that of BEEF V2 (0200beef)', reader.at - 4)
  const proofs = readProofs(bytes, reader, bad)
  const members = readMembers(bytes, reader, version, proofs, bad)
  if (reader.left > 0) throw bad(`it ends here and ${reader.left} more bytes follow`, reader.at)
  const family = new Map<Digest, Member>()
  for (const member of members) family.set(member.digest, member)
  if (family.size < members.length) throw bad('a transaction is in it twice', reader.at)
  for (const member of members) findParents(member, family)
  const subject = named === undefined ? subjectOf(members) : family.get(named)
  if (!subject)
    throw named === undefined
      ? bad('there is no transaction in it', reader.at)
      : bad('the transaction that it names as its subject is not in it', 4)
  if (!subject.scanned) throw bad('of its subject only the id is given', reader.at)
  const along: Ancestor[] = []
  for (const member of inOrder(subject)) if (member !== subject || member.proof) along.push(new BeefAncestor(member.scanned!, member.proof))
  return { subject: subject.scanned, along }
}

function readProofs(bytes: Uint8Array, reader: Reader, bad: Bad): MerkleProof[] {
  const proofs: MerkleProof[] = []
  const count = reader.count('proofs', MIN_BUMP_BYTES)
  const bumps = new BumpReader(bytes, reader.at, MAX_PROOFS_BYTES)
  while (proofs.length < count) {
    const { at } = bumps
    try {
      proofs.push(bumps.next())
    } catch (cause) {
      throw cause instanceof OverpoolError ? bad(`the proof ${proofs.length} (BUMP): ${cause.message}`, at) : cause
    }
  }
  reader.at = bumps.at
  return proofs
}

function readMembers(bytes: Uint8Array, reader: Reader, version: number, proofs: MerkleProof[], bad: Bad): Member[] {
  const members: Member[] = []
  const count = reader.count('transactions', MIN_ENTRY_BYTES)
  if (count > MAX_TRANSACTIONS) throw bad(`${count} transactions, and ${MAX_TRANSACTIONS} are read`, reader.at)
  const memberOf = (scanned: ScannedTransaction | undefined, digest: Digest, proof?: MerkleProof): Member => ({
    digest,
    scanned,
    proof,
    parents: [],
    isSpent: false,
    order: 'unseen',
  })
  const proofOf = ({ digest, txid }: ScannedTransaction): MerkleProof => {
    const { at } = reader
    const n = reader.varint('number of a proof')
    const proof = proofs[n]
    if (!proof) throw bad(`the proof ${n} of ${proofs.length}, counted from 0`, at)
    if (!proof.has(digest)) throw bad(`the proof ${n} holds nothing of the transaction ${txid}`, at)
    return proof
  }
  const readV1 = (): Member => {
    const scanned = scanNext(bytes, reader)
    const { at } = reader
    const has = reader.uint8('mark of a proof')
    if (has > 1) throw bad(`the mark ${has} of a proof, which is 0 or 1`, at)
    return memberOf(scanned, scanned.digest, has === 1 ? proofOf(scanned) : undefined)
  }
  const readV2 = (): Member => {
    const { at } = reader
    const format = reader.uint8('format of a transaction')
    if (format === ID_ONLY) return memberOf(undefined, reader.digest('id of a transaction'))
    if (format !== RAW && format !== RAW_WITH_PROOF) throw bad(`the format ${format} of a transaction, which is 0, 1 or 2`, at)
    // The number of the proof stands before the transaction that it has to be about.
    const proofAt = reader.at
    if (format === RAW_WITH_PROOF) reader.varint('number of a proof')
    const scanned = scanNext(bytes, reader)
    if (format === RAW) return memberOf(scanned, scanned.digest)
    const end = reader.at
    reader.at = proofAt
    const proof = proofOf(scanned)
    reader.at = end
    return memberOf(scanned, scanned.digest, proof)
  }
  while (members.length < count) members.push(version === V1 ? readV1() : readV2())
  return members
}

function findParents(member: Member, family: Map<Digest, Member>): void {
  const { scanned, parents } = member
  scanned?.someInput((outpoint) => {
    const parent = family.get(asDigest(scanned.bytes, outpoint))
    if (parent) {
      parent.isSpent = true
      parents.push(parent)
    }
    return false
  })
}

/** The one from which no other spends; the last one if there are several. */
function subjectOf(members: Member[]): Member | undefined {
  const unspent = members.filter(({ scanned, isSpent }) => scanned && !isSpent)
  return unspent.length === 1 ? unspent[0] : members.at(-1)
}

/** A transaction and its ancestors, parents first, whatever their order in the BEEF: @bsv/sdk 2.1.0 writes a child before its parent. */
function inOrder(subject: Member): Member[] {
  const ordered: Member[] = []
  // Without recursion: a chain of parents may be as long as the BEEF.
  for (const open = [subject]; open.length; ) {
    const member = open.at(-1)!
    if (member.order === 'unseen') {
      member.order = 'begun'
      for (const parent of member.parents.reverse()) if (parent.scanned && parent.order === 'unseen') open.push(parent)
      continue
    }
    open.pop()
    if (member.order === 'begun') ordered.push(member)
    member.order = 'over'
  }
  return ordered
}

/** Its id and its proof are spelled where they are read: nobody keeps what came along with a payment that is refused. */
class BeefAncestor implements Ancestor {
  readonly tx: Uint8Array
  readonly #scanned: ScannedTransaction
  readonly #proof: MerkleProof | undefined

  constructor(scanned: ScannedTransaction, proof: MerkleProof | undefined) {
    this.tx = scanned.bytes
    this.#scanned = scanned
    this.#proof = proof
  }

  get txid(): string {
    return this.#scanned.txid
  }

  get proof(): Ancestor['proof'] {
    return this.#proof?.of(this.#scanned.digest)
  }
}

function badIn(bytes: Uint8Array): Bad {
  return (what, at) => {
    const format = beefByStart(bytes) ?? 'BEEF'
    return new OverpoolError('BAD_TRANSACTION', `bad ${format} at byte ${at}: ${what}; send all of it, or ${SEND_RAW}`)
  }
}
