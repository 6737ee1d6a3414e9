import { MerklePath } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { readHeader } from '../../shared/chain/header.ts'
import { assertProves, MerkleStream, scanBump, scanTsc } from '../../shared/chain/merkle.ts'
import { digestOf } from '../../shared/transaction/digest.ts'
import { dataTransaction, transactionFromHex } from '../../shared/transaction/index.ts'
import { headerAfter, REGTEST, regtest } from './blocks.ts'
import { BRC74, REGTEST_HEADER, treeOf, tscBinary } from './proofs.ts'

const BRC74_ROOT = '57aab6e6fb1b697174ffb64e062c4728f2ffd33ddcfa02a43b64d8cd29b483b4'
const BRC74_TXIDS = [
  '304e737fdfcb017a1a322e78b067ecebb5e07b44f0a36ed1f01264d2014f7711',
  'd888711d588021e588984e8278a2decf927298173a06737066e43f3e75534e00',
  '98c9c5dd79a18f40837061d5e0395ffb52e700a2689e641d19f053fc9619445e',
]

/** `proofsBinary.js` of the standard's own example: the same proof in both forms. */
const TSC_BINARY =
  '000cef65a4611570303539143dabd6aa64dbd0f41ed89074406dc0e7cd251cf1efff69f17b44cfe9c2a23285168fe05084e1254daa5305311ed8cd95b19ea6b0ed7505008e66d81026ddb2dae0bd88082632790fc6921b299ca798088bef5325a607efb9004d104f378654a25e35dbd6a539505a1e3ddbba7f92420414387bb5b12fc1c10f00472581a20a043cee55edee1c65dd6677e09903f22992062d8fd4b8d55de7b060006fcc978b3f999a3dbb85a6ae55edc06dd9a30855a030b450206c3646dadbd8c000423ab0273c2572880cdc0030034c72ec300ec9dd7bbc7d3f948a9d41b3621e39'
const TSC_JSON = {
  index: 12,
  txOrId: 'ffeff11c25cde7c06d407490d81ef4d0db64aad6ab3d14393530701561a465ef',
  target: '75edb0a69eb195cdd81e310553aa4d25e18450e08f168532a2c2e9cf447bf169',
  nodes: [
    'b9ef07a62553ef8b0898a79c291b92c60f7932260888bde0dab2dd2610d8668e',
    '0fc1c12fb1b57b38140442927fbadb3d1e5a5039a5d6db355ea25486374f104d',
    '60b0e75dd5b8d48f2d069229f20399e07766dd651ceeed55ee3c040aa2812547',
    'c0d8dbda46366c2050b430a05508a3d96dc0ed55aea685bb3d9a993f8b97cc6f',
    '391e62b3419d8a943f7dbc7bddc90e30ec724c033000dc0c8872253c27b03a42',
  ],
}
/** The header that the example's target is the hash of. */
const TSC_HEADER =
  '000000208e33a53195acad0ab42ddbdbe3e4d9ca081332e5b01a62e340dbd8167d1a787b702f61bb913ac2063e0f2aed6d933d3386234da5c8eb9e30e498efd25fb7cb96fff12c60ffff7f2001000000'

describe('a BUMP', () => {
  it('of BRC-74 leads to the root of its block, from each of its transactions', () => {
    const proof = scanBump(BRC74)
    expect(proof.blockHeight).toBe(813_706)
    expect(proof.txids).toEqual(BRC74_TXIDS.slice(1)) // the first is only a sibling
    expect(BRC74_TXIDS.map((txid) => proof.index(txid))).toEqual([3048, 3049, 3050])
    for (const txid of BRC74_TXIDS) expect(proof.root(txid)).toBe(BRC74_ROOT)
    expect(hexOf(proof.bump())).toBe(BRC74)
    expect(hexOf(scanBump(Buffer.from(BRC74, 'hex')).bump())).toBe(BRC74)
  })

  it('says nothing of other transactions', () => {
    expect(() => scanBump(BRC74).root(TSC_JSON.txOrId)).toThrow(badProof(`it holds nothing of the transaction ${TSC_JSON.txOrId}`))
  })

  it('may leave out the nodes that it gives otherwise, and may give them', () => {
    const { bumps, txids, root } = treeOf(11, [2, 3, 6, 10])
    const paths = bumps.map((bump) => MerklePath.fromHex(bump))
    const [whole, ...others] = paths as [MerklePath, ...MerklePath[]]
    const untrimmed = whole.path.map((level, n) => {
      const all = [level, ...others.map(({ path }) => path[n]!)].flat()
      return [...new Map(all.map((leaf) => [leaf.offset, leaf])).values()].sort((a, b) => a.offset - b.offset)
    })
    for (const other of others) whole.combine(other)
    for (const path of [whole, new MerklePath(7, untrimmed, false)]) {
      const proof = scanBump(path.toHex())
      expect([2, 3, 6, 10].map((i) => proof.root(txids[i]!))).toEqual(Array(4).fill(root))
      expect([2, 3, 6, 10].map((i) => proof.index(txids[i]!))).toEqual([2, 3, 6, 10])
    }
  })

  it('is refused in every cut, and with anything after it', () => {
    for (let length = 0; length < BRC74.length; length += 2) expect(() => scanBump(BRC74.slice(0, length))).toThrow(badProof())
    expect(() => scanBump(`${BRC74}00`)).toThrow(badProof('it ends here and 1 more bytes follow'))
  })

  const a = '11'.repeat(32)
  const b = '22'.repeat(32)
  it.each([
    ['text that is not hex', 'zz', 'its text is not hex'],
    ['half a byte', '0', 'its text is not hex'],
    ['no level', '0700', 'a tree of 0 levels'],
    ['65 levels', '0741', 'a tree of 65 levels'],
    ['no leaf', '070100', 'it holds no transaction'],
    ['more leaves than bytes', '0701feffffffff', '4294967295 leaves cannot fit in the 0 bytes left'],
    ['a number that is not in its shortest form', 'fd0700', 'height of the block 7 is not in its shortest form'],
    ['a height of 2^53', 'ff00000000000020000100', 'height of the block of 2^53 or more'],
    ['an unknown flag', `0701010003${a}`, 'the flag 3'],
    ['a transaction on an upper level', `0702020002${a}0100${b}010102${b}`, 'a transaction on level 1'],
    ['an offset beyond the tree', `0701020002${a}0200${b}`, 'the offset 2 on level 0 of a tree of 1 levels'],
    ['an offset twice', `0701020002${a}0000${b}`, 'the offset 0 is on level 0 twice'],
    ['no sibling', `0702010002${a}010100${b}`, 'the node 1 on level 0 is missing'],
    ['no left sibling', `0701010102${a}`, 'its only transaction is not the first of the block'],
    ['no node on a level', `0702020002${a}0100${b}00`, 'the node 1 on level 1 is missing'],
    [
      'a node that does not belong',
      `0702020002${a}0100${b}020000${a}0100${b}`,
      'the node 0 on level 1 is not the hash of the two below it',
    ],
    ['a left node that repeats', `07010200010102${a}`, 'the node 0 on level 0 has none to its left that it could repeat'],
    ['a repetition that is not the last', `0702040002${a}01010200${a}0300${b}00`, 'the nodes 0 and 1 on level 0 are the same'],
    ['the same transaction at two places', `0701020002${a}0102${a}`, 'the nodes 0 and 1 on level 0 are the same'],
    ['the same two transactions twice', `0702040002${a}0100${b}0200${a}0300${b}00`, 'the nodes 0 and 1 on level 1 are the same'],
  ])('with %s is refused', (_, bump, message) => {
    expect(() => scanBump(bump)).toThrow(badProof(message))
  })

  it('of more than a megabyte is not read', () => {
    expect(() => scanBump(new Uint8Array(1024 * 1024 + 1))).toThrow(badProof('it has 1048577 bytes'))
    expect(() => scanBump('00'.repeat(1024 * 1024 + 1))).toThrow(badProof('its text has more than the 1048576 bytes'))
  })

  it('whose inner node is a transaction is refused: anything could be hung under it', () => {
    const small = smallTransaction()
    expect(small.bytes).toHaveLength(64)
    // The second half of the small transaction is taken for the id of another one, whose bytes somebody has searched for.
    const [left, right] = [small.bytes.subarray(0, 32), small.bytes.subarray(32)]
    const forged = `0702020000${hexOf(left)}0102${hexOf(right)}010100${b}`
    expect(() => scanBump(forged)).toThrow(badProof(`the inner node ${small.txid} is a transaction`))
  })
})

describe('a TSC proof', () => {
  const regtestProofs = REGTEST.proofs.map((proof) => [`${proof.index}, target ${proof.targetType ?? 'hash'}`, proof] as const)

  it.each(regtestProofs)('of a real node is read: transaction %s', (_, proof) => {
    const txid = REGTEST.txids[proof.index]!
    const read = scanTsc(proof)
    expect(read.txids).toEqual([txid])
    expect(read.index(txid)).toBe(proof.index)
    expect(read.root(txid)).toBe(REGTEST_HEADER.merkleRoot)
    expect(read.blockHash).toBe(proof.targetType === 'merkleroot' ? undefined : REGTEST.hash)
    const binary = scanTsc(tscBinary(proof))
    expect([binary.root(txid), binary.index(txid), binary.blockHash]).toEqual([read.root(txid), read.index(txid), read.blockHash])
    const bump = read.bump(REGTEST.height)
    expect(MerklePath.fromHex(hexOf(bump)).computeRoot(txid)).toBe(REGTEST_HEADER.merkleRoot)
    expect(scanBump(bump)).toMatchObject({ blockHeight: REGTEST.height, txids: [txid] })
  })

  it('in binary is the same as in JSON', () => {
    const [binary, json] = [scanTsc(Buffer.from(TSC_BINARY, 'hex')), scanTsc(TSC_JSON)]
    const header = readHeader(Buffer.from(TSC_HEADER, 'hex'))
    expect(header.hash).toBe(TSC_JSON.target)
    for (const proof of [binary, json]) {
      expect(proof.root(TSC_JSON.txOrId)).toBe(header.merkleRoot)
      expect(proof.index(TSC_JSON.txOrId)).toBe(12)
      expect(proof.blockHash).toBe(TSC_JSON.target)
    }
    expect(binary.bump(3)).toEqual(json.bump(3))
    expect(hexOf(tscBinary(TSC_JSON))).toBe(TSC_BINARY)
  })

  it.each([
    [
      'an only transaction',
      '040069f17b44cfe9c2a23285168fe05084e1254daa5305311ed8cd95b19ea6b0ed7569f17b44cfe9c2a23285168fe05084e1254daa5305311ed8cd95b19ea6b0ed7500',
    ],
    [
      'the left of two',
      '040069f17b44cfe9c2a23285168fe05084e1254daa5305311ed8cd95b19ea6b0ed75822f45f786ab6f17b52245bb4956e0a2016bd3613ba8115e97f3ef2ea6344ad00100fecafecafecafecafecafecafecafecafecafecafecafecafecafecafecafeca',
    ],
    [
      'the right of two',
      '040169f17b44cfe9c2a23285168fe05084e1254daa5305311ed8cd95b19ea6b0ed752e89da4ddbcce991aa502edac9c7e9ec44a150c8b5290c4fefde8dd61df1d7510100fecafecafecafecafecafecafecafecafecafecafecafecafecafecafecafeca',
    ],
    [
      'the last of an odd level',
      '040269f17b44cfe9c2a23285168fe05084e1254daa5305311ed8cd95b19ea6b0ed75a7b067a2cf49c96d83ab1cf216839a0e5915a191ad6f6174c4b0eb51bf859d6c030100fecafecafecafecafecafecafecafecafecafecafecafecafecafecafecafe0a00fecafecafecafecafecafecafecafecafecafecafecafecafecafecafecafe1a',
    ],
  ])('of %s, from the standard’s tests, leads to the root that it targets', (_, hex) => {
    expect(scanTsc(Buffer.from(hex, 'hex')).txids).toEqual([TSC_JSON.target])
  })

  const last = REGTEST.proofs[6]!
  it.each([
    ['flags that are not known', Buffer.from(`ff00${'00'.repeat(65)}`, 'hex'), 'the flags 255'],
    ['a tree', Buffer.from(`0c00${'00'.repeat(65)}`, 'hex'), 'the flags 12'],
    ['a composite', Buffer.from(`1400${'00'.repeat(65)}`, 'hex'), 'the flags 20'],
    ['another root than its target', Buffer.from(`0400${'11'.repeat(32)}${'22'.repeat(32)}00`, 'hex'), 'which is its target'],
    ['the right node repeated to its left', Buffer.from(`0401${'11'.repeat(64)}0101`, 'hex'), 'has none to its left that it could repeat'],
    ['an unknown type of node', Buffer.from(`0000${'11'.repeat(64)}0102`, 'hex'), 'a node of type 2'],
    ['more nodes than bytes', Buffer.from(`0000${'11'.repeat(64)}feffffffff`, 'hex'), '4294967295 nodes cannot fit'],
    ['more nodes than levels', Buffer.from(`0000${'11'.repeat(64)}41${'01'.repeat(65)}`, 'hex'), '65 nodes, more than the 64 levels'],
    ['no object', 'proof', 'neither bytes nor a JSON object'],
    ['null', null, 'neither bytes nor a JSON object'],
    ['a list', [last], 'neither bytes nor a JSON object'],
    ['an index beyond the tree', { ...last, index: 8 }, 'the index 8 is beyond a tree of 3 levels'],
    ['an index that is no number', { ...last, index: '6' }, 'its index is not a whole number'],
    ['an index below 0', { ...last, index: -1 }, 'its index is not a whole number'],
    ['no nodes', { ...last, nodes: undefined }, 'its nodes are no list'],
    ['a node that is no hash', { ...last, nodes: ['*', 'ab'] }, 'its nodes[1] has 1 bytes, not 32'],
    ['a node that is no text', { ...last, nodes: [null] }, 'its nodes[0] is not hex'],
    ['a transaction that is none', { ...last, txOrId: '00' }, 'its transaction is none'],
    ['an unknown type of target', { ...last, targetType: 'toString' }, 'its targetType is neither'],
    ['a target that is no hash', { ...last, target: 'ab' }, 'its target has 1 bytes, not 32'],
    ['a target that is no header', { ...last, targetType: 'header', target: '00'.repeat(80) }, 'its target is no header of a block'],
    ['the type of a tree', { ...last, proofType: 'tree' }, 'only a branch of one transaction can be read'],
  ])('with %s is refused', (_, proof, message) => {
    expect(() => scanTsc(proof)).toThrow(badProof(message))
  })

  it('becomes a BUMP only with a height', () => {
    expect(() => scanTsc(last).bump()).toThrow(badProof('it does not say the height of its block'))
  })

  it('may give the last node of an odd level twice instead of marking it', () => {
    const twice = { ...last, nodes: [last.txOrId, ...last.nodes.slice(1)] }
    expect(scanTsc(twice).bump(1)).toEqual(scanTsc(last).bump(1))
    // The same node to the left of it is another thing: a place that the block does not have.
    expect(() => scanTsc({ ...twice, index: 7 })).toThrow(badProof('the nodes 6 and 7 on level 0 are the same'))
  })
})

describe('a proof', () => {
  it('proves a transaction against the header of its block, and no other', () => {
    const transaction = transactionFromHex(dataTransaction('proven'))
    const stream = new MerkleStream()
    stream.add(digestOf(Buffer.of(1)))
    stream.add(transaction.digest, true)
    const root = Buffer.from(stream.root(), 'hex').reverse()
    const proof = stream.proofs(1).next().value!.proof
    expect(assertProves(scanBump(proof), transaction, readHeader(headerAfter(regtest(0), { root })))).toBe(1)
    expect(() => assertProves(scanBump(proof), transaction, readHeader(regtest(1)))).toThrow(badProof('that of the block'))
  })

  it('proves nothing of a transaction of 64 bytes: an inner node could pass for it', () => {
    const small = smallTransaction()
    const stream = new MerkleStream()
    stream.add(small.digest, true)
    const root = Buffer.from(stream.root(), 'hex').reverse()
    const proof = stream.proofs(1).next().value!.proof
    const header = readHeader(headerAfter(regtest(0), { root }))
    expect(() => assertProves(scanBump(proof), small, header)).toThrow(badProof('has 64 bytes'))
  })
})

describe('a stream of leaves', () => {
  it('has the root and the paths of the whole tree, whatever its size', () => {
    for (let count = 1; count <= 40; count++) {
      const all = Array.from({ length: count }, (_, i) => i)
      const { stream, txids, root, bumps } = treeOf(count, all)
      expect(stream.count).toBe(count)
      for (const [i, bump] of bumps.entries()) {
        const theirs = MerklePath.fromHex(bump)
        expect(theirs.toHex()).toBe(bump)
        expect(theirs.computeRoot(txids[i]!)).toBe(root)
        const ours = scanBump(bump)
        expect([ours.root(txids[i]!), ours.index(txids[i]!), ours.txids]).toEqual([root, i, [txids[i]]])
        expect(hexOf(ours.bump())).toBe(bump)
      }
    }
  })

  it('gives the proofs of the marked leaves alone', () => {
    const { stream, txids } = treeOf(1_000, [0, 17, 999])
    expect([...stream.proofs(5)].map(({ index, txid }) => [index, txid])).toEqual([0, 17, 999].map((i) => [i, txids[i]]))
  })

  it('refuses leaves that repeat, at any level: the same root would stand for fewer', () => {
    const leaves = Array.from({ length: 6 }, (_, i) => digestOf(Buffer.of(i)))
    const add = (...which: number[]) => {
      const stream = new MerkleStream()
      for (const i of which) stream.add(leaves[i]!)
      return stream.root()
    }
    // CVE-2012-2459: three, and three with the last one again, have one root.
    expect(() => add(0, 1, 2, 2)).toThrow(badProof('CVE-2012-2459'))
    expect(() => add(0, 1, 2, 3, 4, 5, 4, 5)).toThrow(badProof('CVE-2012-2459'))
    expect(add(0, 1, 1)).not.toBe(add(0, 1)) // equal, but no pair
  })

  it('has no root without a leaf, and no leaf after the root', () => {
    const stream = new MerkleStream()
    expect(() => stream.root()).toThrow(badProof('without a transaction'))
    stream.add(digestOf(Buffer.of(1)))
    stream.root()
    expect(() => stream.add(digestOf(Buffer.of(2)))).toThrow(badProof('no leaf can follow'))
  })
})

/** A transaction of 64 bytes: as many as an inner node hashes. */
function smallTransaction() {
  const input = `${'ab'.repeat(32)}0000000000ffffffff`
  return transactionFromHex(`0100000001${input}01${'00'.repeat(8)}04006a010100000000`)
}

function badProof(message = '') {
  return expect.objectContaining({ code: 'BAD_PROOF', message: expect.stringContaining(message) })
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
