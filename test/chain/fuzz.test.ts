import { MerklePath } from '@bsv/sdk'
import { describe } from 'vitest'
import { BlockReader } from '../../shared/chain/block.ts'
import { ChainFilter } from '../../shared/chain/filter.ts'
import { HEADER_BYTES, HeaderChain } from '../../shared/chain/header.ts'
import { type MerkleProof, scanBump, scanTsc } from '../../shared/chain/merkle.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { type Parsed, parseTransaction, scanTransaction } from '../../shared/transaction/index.ts'
import { fuzz, realTransactions } from '../fuzz.ts'
import { assembled, coinbase, HEADERS, REGTEST, regtest } from './blocks.ts'
import { BRC74, treeOf, tscBinary } from './proofs.ts'

const transactions = realTransactions()
const bumps = [BRC74, ...treeOf(9, [0, 3, 8]).bumps, ...treeOf(1, [0]).bumps, ...treeOf(70_000, [69_999]).bumps]
const json = REGTEST.proofs.map((proof) => Buffer.from(JSON.stringify(proof)))

// Addresses and spent outputs of the honest transactions: half of what they hold.
const parsed = transactions.map((bytes) => parseTransaction(scanTransaction(bytes)))
const addresses = new Set(parsed.flatMap(addressesOf).filter((address, i) => address.startsWith('1') && i % 2 === 0))
const outpoints = new Set(parsed.flatMap(outpointsOf).filter((_, i) => i % 2 === 0))
const filter = new ChainFilter({ addresses: [...addresses], outpoints: [...outpoints] })

describe('bytes of the chain', () =>
  fuzz([
    {
      name: 'scanBump',
      code: 'BAD_PROOF',
      honest: bumps.map((bump) => Buffer.from(bump, 'hex')),
      read: (bytes) => useProof(scanBump(bytes)),
    },
    {
      name: 'scanBump of hex',
      code: 'BAD_PROOF',
      honest: bumps.map((bump) => Buffer.from(bump)),
      read: (bytes) => useProof(scanBump(bytes.toString('latin1'))),
    },
    { name: 'scanTsc', code: 'BAD_PROOF', honest: REGTEST.proofs.map(tscBinary), read: (bytes) => useProof(scanTsc(bytes)) },
    { name: 'scanTsc of JSON', code: 'BAD_PROOF', honest: json, read: (bytes) => useProof(scanTsc(jsonIn(bytes))) },
    {
      name: 'HeaderChain',
      code: 'BAD_HEADER',
      honest: [1, 2, 15].map((count) => Buffer.concat(HEADERS.slice(1, 1 + count))),
      read: addHeaders,
    },
    {
      name: 'BlockReader',
      code: ['BAD_BLOCK', 'BAD_HEADER'],
      honest: [Buffer.from(REGTEST.block, 'hex'), Buffer.from(REGTEST.lone, 'hex'), assembled([coinbase(1), ...transactions.slice(0, 20)])],
      read: readBlock,
    },
    { name: 'ChainFilter', code: 'BAD_TRANSACTION', honest: transactions, read: filterTransaction },
  ]))

/** What is read of a proof must be the same when it is written and read again, and @bsv/sdk must find the same root, which it cannot in trees of more than 30 levels. */
function useProof(proof: MerkleProof): void {
  const bump = proof.bump(proof.blockHeight ?? 7)
  const again = scanBump(bump)
  const theirs = heightOf(bump) <= 30 ? MerklePath.fromBinary([...bump]) : undefined
  for (const txid of proof.txids.slice(0, 10)) {
    if (again.root(txid) !== proof.root(txid) || again.index(txid) !== proof.index(txid)) throw new Error(`another proof of ${txid}`)
    if (theirs && theirs.computeRoot(txid) !== proof.root(txid)) throw new Error(`another root of ${txid}`)
  }
}

/** The levels of a BUMP: the byte after the varint of its block's height. */
function heightOf(bump: Uint8Array): number {
  return bump[{ 253: 3, 254: 5, 255: 9 }[bump[0]!] ?? 1]!
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch (cause) {
    throw new OverpoolError('BAD_PROOF', 'no JSON', { cause })
  }
}

function addHeaders(bytes: Buffer): void {
  const chain = new HeaderChain({ start: { height: 0, header: regtest(0) }, network: 'regtest', clock: { now: () => 4e12 } })
  const headers = Array.from({ length: Math.ceil(bytes.length / HEADER_BYTES) }, (_, i) =>
    bytes.subarray(i * HEADER_BYTES, (i + 1) * HEADER_BYTES),
  )
  const added = chain.add(headers)?.added ?? []
  if (chain.tip.height !== added.length) throw new Error('the tip is not the last of what was added')
}

/** A block that was read to its end counts as accepted, though almost every change gives it another root. */
async function readBlock(bytes: Buffer): Promise<void> {
  const size = 1 + (bytes.length % 997)
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
  }
  const reader = new BlockReader(chunks(), { wanted: (_, index) => index % 3 === 0 })
  try {
    for await (const _ of reader.transactions());
  } catch (error) {
    if (!(error instanceof OverpoolError) || !error.message.includes('have the Merkle root')) throw error
  }
  for (const { proof } of reader.proofs(1)) scanBump(proof)
}

/** The filter must find what the parser shows. */
function filterTransaction(bytes: Buffer): void {
  const scanned = scanTransaction(bytes)
  const found = filter.matches(scanned)
  if ([...scanned.readInputs()].some(({ vout }) => vout === 0xffffffff)) return // the parser shows no input of a coinbase
  const shown = parseTransaction(scanned)
  const expected =
    addressesOf(shown).some((address) => addresses.has(address)) || outpointsOf(shown).some((outpoint) => outpoints.has(outpoint))
  if (found !== expected) throw new Error(`the filter says ${found}`)
}

function addressesOf({ in: inputs, out: outputs }: Parsed): string[] {
  return [...inputs, ...outputs].map(({ e }) => e.a)
}

function outpointsOf({ in: inputs }: Parsed): string[] {
  return inputs.map(({ e }) => `${e.h}:${e.i}`)
}
