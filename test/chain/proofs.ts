import { readHeader } from '../../shared/chain/header.ts'
import { MerkleStream } from '../../shared/chain/merkle.ts'
import { varint } from '../../shared/transaction/data.ts'
import { digestOf, displayed } from '../../shared/transaction/digest.ts'
import { REGTEST } from './blocks.ts'

/** The example of BRC-74 in the encoding that is in use: three transactions of block 813706 of mainnet. */
export const BRC74 =
  'fe8a6a0c000c04fde80b0011774f01d26412f0d16ea3f0447be0b5ebec67b0782e321a7a01cbdf7f734e30fde90b02004e53753e3fe4667073063a17987292cfdea278824e9888e52180581d7188d8fdea0b025e441996fc53f0191d649e68a200e752fb5f39e0d5617083408fa179ddc5c998fdeb0b0102fdf405000671394f72237d08a4277f4435e5b6edf7adc272f25effef27cdfe805ce71a81fdf50500262bccabec6c4af3ed00cc7a7414edea9c5efa92fb8623dd6160a001450a528201fdfb020101fd7c010093b3efca9b77ddec914f8effac691ecb54e2c81d0ab81cbc4c4b93befe418e8501bf01015e005881826eb6973c54003a02118fe270f03d46d02681c8bc71cd44c613e86302f8012e00e07a2bb8bb75e5accff266022e1e5e6e7b4d6d943a04faadcf2ab4a22f796ff30116008120cafa17309c0bb0e0ffce835286b3a2dcae48e4497ae2d2b7ced4f051507d010a00502e59ac92f46543c23006bff855d96f5e648043f0fb87a7a5949e6a9bebae430104001ccd9f8f64f4d0489b30cc815351cf425e0e78ad79a589350e4341ac165dbe45010301010000af8764ce7e1cc132ab5ed2229a005c87201c9a5ee15c0f91dd53eff31ab30cd4'

export const REGTEST_HEADER = readHeader(Buffer.from(REGTEST.block, 'hex').subarray(0, 80))

/** A tree of so many different leaves, with the proofs of some of them in a block of height 7. */
export function treeOf(count: number, marked: number[]) {
  const stream = new MerkleStream()
  const txids: string[] = []
  for (let i = 0; i < count; i++) {
    const digest = digestOf(Buffer.from(`leaf ${i}`))
    txids.push(displayed(digest))
    stream.add(digest, marked.includes(i))
  }
  return { stream, txids, root: stream.root(), bumps: [...stream.proofs(7)].map(({ proof }) => Buffer.from(proof).toString('hex')) }
}

/** A TSC proof in its binary form. */
export function tscBinary({ index, txOrId, target, targetType = 'hash', nodes }: (typeof REGTEST.proofs)[number]): Buffer {
  const isWhole = txOrId.length > 64
  const flags = (isWhole ? 1 : 0) | (targetType === 'header' ? 2 : targetType === 'hash' ? 0 : 4)
  const whole = Buffer.from(txOrId, 'hex')
  return Buffer.concat([
    Buffer.of(flags),
    varint(index),
    ...(isWhole ? [varint(whole.length), whole] : [whole.reverse()]),
    targetType === 'header' ? Buffer.from(target, 'hex') : Buffer.from(target, 'hex').reverse(),
    varint(nodes.length),
    ...nodes.map((node) => (node === '*' ? Buffer.of(1) : Buffer.concat([Buffer.of(0), Buffer.from(node, 'hex').reverse()]))),
  ])
}
