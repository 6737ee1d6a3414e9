import { MerklePath } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { BlockReader } from '../../shared/chain/block.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { dataTransaction } from '../../shared/transaction/index.ts'
import { assembled, coinbase, REGTEST, rootOf } from './blocks.ts'

const REAL = Buffer.from(REGTEST.block, 'hex')
const LONE = Buffer.from(REGTEST.lone, 'hex')
/** The first block of mainnet. */
const FIRST = Buffer.from(
  '0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c0101000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000',
  'hex',
)
const data = (text: string) => Buffer.from(dataTransaction(text), 'hex')

describe('a block', () => {
  it.each([
    ['the first of mainnet', FIRST, ['4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b']],
    ['one of a real node', REAL, REGTEST.txids],
    ['one with a coinbase only', LONE, undefined],
  ])('is read with all its transactions: %s', async (_, block, txids) => {
    const { reader, found } = await read([block])
    expect(found.map(({ index }) => index)).toEqual(found.map((_, i) => i))
    if (txids) expect(found.map(({ transaction }) => transaction.txid)).toEqual(txids)
    expect(reader.count).toBe(found.length)
    const proofs = [...reader.proofs(5)]
    expect(proofs.map(({ txid }) => txid)).toEqual(found.map(({ transaction }) => transaction.txid))
    for (const { txid, proof } of proofs) expect(MerklePath.fromBinary([...proof]).computeRoot(txid)).toBe(reader.header?.merkleRoot)
  })

  it('may come in chunks that are cut anywhere', async () => {
    const whole = (await read([REAL])).found.map(({ transaction }) => transaction.txid)
    for (const size of [1, 2, 7, 79, 80, 81, 500, 3_000]) {
      const chunks = Array.from({ length: Math.ceil(REAL.length / size) }, (_, i) => REAL.subarray(i * size, (i + 1) * size))
      expect((await read(chunks)).found.map(({ transaction }) => transaction.txid)).toEqual(whole)
    }
    for (let cut = 0; cut <= REAL.length; cut++)
      expect((await read([REAL.subarray(0, cut), REAL.subarray(cut)])).found).toHaveLength(whole.length)
  })

  it('gives the wanted transactions alone, each with its proof', async () => {
    const { reader, found } = await read([REAL], { wanted: (_, index) => index === 2 || index === 6 })
    expect(found.map(({ index, transaction }) => [index, transaction.txid])).toEqual([2, 6].map((i) => [i, REGTEST.txids[i]]))
    expect([...reader.proofs(REGTEST.height)].map(({ index, txid }) => [index, txid])).toEqual([2, 6].map((i) => [i, REGTEST.txids[i]]))
  })

  it('holds on to no chunk: what it gives has bytes of its own', async () => {
    const chunk = Buffer.from(REAL)
    const { found } = await read([chunk])
    chunk.fill(0)
    expect(found.map(({ transaction }) => transaction.txid)).toEqual(REGTEST.txids)
  })

  it('may hold a transaction that is larger than many chunks', async () => {
    const large = Buffer.from(dataTransaction(Buffer.alloc(3_000_000, 1), 'end'), 'hex')
    const block = assembled([coinbase(1), large, data('small')])
    const chunks = Array.from({ length: Math.ceil(block.length / 1_000) }, (_, i) => block.subarray(i * 1_000, (i + 1) * 1_000))
    const { found } = await read(chunks)
    expect(found[1]!.transaction.bytes).toEqual(large)
    await expect(read(chunks, { maxTransactionBytes: large.length })).resolves.toBeDefined()
    await expect(read(chunks, { maxTransactionBytes: large.length - 1 })).rejects.toThrow(
      badBlock(
        `transaction 2 of 3, at byte ${block.length - large.length - data('small').length}: more than the ${large.length - 1} bytes that are read of one`,
      ),
    )
  })

  it('is refused in every cut', async () => {
    for (let length = 0; length < REAL.length; length++) await expect(read([REAL.subarray(0, length)])).rejects.toThrow(badBlock('it ends'))
    await expect(read([])).rejects.toThrow(badBlock('it ends after 0 bytes, before its first transaction'))
    await expect(read([REAL.subarray(0, -1)])).rejects.toThrow(badBlock(`transaction 7 of 7, at byte ${REAL.length - 1}: it ends here`))
  })

  const small = data('small')
  const swapped = Buffer.from(assembled([coinbase(1), small]))
  swapped[swapped.length - 8]! ^= 1
  it.each([
    ['bytes after its last transaction', Buffer.concat([REAL, Buffer.of(0)]), 'more bytes follow on its last transaction'],
    [
      'more transactions than it says',
      assembled([coinbase(1), small, data('other')], { count: 2 }),
      'more bytes follow on its last transaction',
    ],
    ['fewer transactions than it says', assembled([coinbase(1), small], { count: 3 }), 'transaction 3 of 3'],
    ['no transaction', assembled([], { count: 0 }), 'it has no transaction'],
    ['another transaction than its header says', swapped, 'its transactions have the Merkle root'],
    ['no coinbase', assembled([small, coinbase(1)]), 'its first transaction is no coinbase'],
    ['the last transaction twice', assembled([coinbase(1), small, data('x'), data('x')]), 'CVE-2012-2459'],
    ['a transaction that is none', assembled([coinbase(1), Buffer.from(`00000000fd0100${'00'.repeat(80)}`, 'hex')]), 'transaction 2 of 2'],
    [
      'a script without an end',
      assembled([coinbase(1), Buffer.from(`0100000001${'00'.repeat(36)}ffffffffffffff1f00`, 'hex')]),
      'more than the 268435456 bytes',
    ],
    ['inputs without an end', assembled([coinbase(1), Buffer.from('01000000ffffffffffffff1f00', 'hex')]), 'transaction 2 of 2'],
  ])('with %s is refused', async (_, block, message) => {
    await expect(read([block])).rejects.toThrow(badBlock(message))
  })

  it('that is another than the one asked for is refused', async () => {
    await expect(read([REAL], { hash: REGTEST.hash })).resolves.toBeDefined()
    await expect(read([LONE], { hash: REGTEST.hash })).rejects.toThrow(badBlock(`not ${REGTEST.hash}, which was asked for`))
  })

  it('without work is refused before its transactions are read', async () => {
    const block = Buffer.from(REAL)
    block.writeUInt32LE(0x1d00ffff, 72)
    await expect(read([block])).rejects.toMatchObject({ code: 'BAD_HEADER' })
  })

  it('passes on what its source throws', async () => {
    const away = new OverpoolError('UNAVAILABLE', 'the node is away', { retryable: true })
    async function* chunks() {
      yield REAL.subarray(0, 1_000)
      throw away
    }
    const reader = new BlockReader(chunks(), { wanted: () => true })
    await expect(Array.fromAsync(reader.transactions())).rejects.toBe(away)
  })

  it('made of the nodes of another block’s tree is refused', async () => {
    // Four transactions, of which the two inner nodes are given out as two transactions of 64 bytes: the root is the same.
    const four = [coinbase(1), data('a'), data('b'), data('c')]
    const inner = [0, 2].map((i) => Buffer.concat([rootOf([four[i]!]), rootOf([four[i + 1]!])]))
    expect(rootOf(inner)).toEqual(rootOf(four))
    await expect(read([assembled(inner)])).rejects.toThrow(badBlock())
  })
})

async function read(chunks: Uint8Array[], options: Partial<ConstructorParameters<typeof BlockReader>[1]> = {}) {
  async function* stream() {
    yield* chunks
  }
  const reader = new BlockReader(stream(), { wanted: () => true, ...options })
  const found = (await Array.fromAsync(reader.transactions())).flat()
  return { reader, found }
}

function badBlock(message = '') {
  return expect.objectContaining({ code: 'BAD_BLOCK', message: expect.stringContaining(message) })
}
