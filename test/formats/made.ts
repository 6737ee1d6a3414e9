import { readFileSync } from 'node:fs'
import { MerkleStream } from '../../shared/chain/merkle.ts'
import { varint } from '../../shared/transaction/data.ts'
import { digestOf } from '../../shared/transaction/digest.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'

// Transactions with their ancestors, made byte by byte: also such as no library writes.

export const V1 = '0100beef'
export const V2 = '0200beef'
export const ATOMIC = '01010101'

/** A file of test/data/field that holds hex. */
export function field(name: string): Buffer {
  return Buffer.from(readFileSync(new URL(`../data/field/${name}`, import.meta.url), 'utf8').trim(), 'hex')
}

/** A transaction that spends the first outputs of others, and has one output with a text. */
export function spending(parents: Buffer[], text: string): Buffer {
  const inputs = parents.map((parent) => Buffer.concat([idOf(parent), Buffer.alloc(4), Buffer.of(0), Buffer.alloc(4, 0xff)]))
  const script = Buffer.concat([Buffer.of(0x6a), Buffer.from(text)])
  const output = Buffer.concat([Buffer.alloc(8), varint(script.length), script])
  return Buffer.concat([Buffer.of(1, 0, 0, 0), varint(inputs.length), ...inputs, Buffer.of(1), output, Buffer.alloc(4)])
}

/** The hash of a transaction as other transactions hold it. */
export function idOf(tx: Uint8Array): Buffer {
  return Buffer.from(digestOf(tx), 'binary')
}

export function txidOf(tx: Uint8Array): string {
  return scanTransaction(tx).txid
}

/** The BUMP of a transaction in a block of height 7 that has so many others behind it. */
export function bumpOf(tx: Uint8Array, others: number): Buffer {
  const stream = new MerkleStream()
  stream.add(digestOf(tx), true)
  for (let i = 0; i < others; i++) stream.add(digestOf(Buffer.from(`other ${i}`)))
  return Buffer.from([...stream.proofs(7)][0]!.proof)
}

/** A transaction in a BEEF: its bytes, and the number of its proof; only its id is given if `id`. */
export interface Member {
  tx: Buffer
  proof?: number
  id?: true
}

export function beef(mark: string, bumps: Buffer[], members: Member[]): Buffer {
  const list = members.map(({ tx, proof, id }) => {
    if (id) return Buffer.concat([Buffer.of(2), idOf(tx)])
    if (mark === V1) return Buffer.concat([tx, proof === undefined ? Buffer.of(0) : Buffer.concat([Buffer.of(1), varint(proof)])])
    return Buffer.concat([proof === undefined ? Buffer.of(0) : Buffer.concat([Buffer.of(1), varint(proof)]), tx])
  })
  return Buffer.concat([Buffer.from(mark, 'hex'), varint(bumps.length), ...bumps, varint(members.length), ...list])
}

export function atomic(subject: Buffer, inside: Buffer): Buffer {
  return Buffer.concat([Buffer.from(ATOMIC, 'hex'), idOf(subject), inside])
}

/** A payment of three steps: one that is in a block, one that spends it, and the subject, which spends both. */
export function threeSteps() {
  const mined = spending([], 'mined')
  const parent = spending([mined], 'parent')
  const subject = spending([parent, mined], 'subject')
  const bump = bumpOf(mined, 4)
  const members: Member[] = [{ tx: mined, proof: 0 }, { tx: parent }, { tx: subject }]
  return { mined, parent, subject, bump, members }
}
