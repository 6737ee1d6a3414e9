import { describe, expect, it } from 'vitest'
import { nodeService } from '../../shared/broadcast/node.ts'
import type { Outgoing } from '../../shared/broadcast/service.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { nodeOr } from './node-or-skip.ts'

const OP_TRUE = '51'
const FEE = 1_000n

/** A transaction that spends outputs which anybody can spend, into others of this kind. */
function spend(
  from: { txid: string; vout: number }[],
  outputs: bigint[],
  { lockTime = 0, sequence = 0xffff_ffff, unlocking = '' } = {},
): Outgoing {
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    return bytes
  }
  const script = Buffer.from(unlocking, 'hex')
  const inputs = from.map(({ txid, vout }) =>
    Buffer.concat([Buffer.from(txid, 'hex').reverse(), u32(vout), Buffer.of(script.length), script, u32(sequence)]),
  )
  const outs = outputs.map((satoshis) => {
    const bytes = Buffer.alloc(10)
    bytes.writeBigUInt64LE(satoshis)
    bytes.writeUInt8(1, 8)
    return Buffer.concat([bytes.subarray(0, 9), Buffer.from(OP_TRUE, 'hex')])
  })
  const tx = Buffer.concat([u32(1), Buffer.of(inputs.length), ...inputs, Buffer.of(outs.length), ...outs, u32(lockTime)])
  return { tx, txid: scanTransaction(tx).txid }
}

describe('a node as a service', () => {
  const node = nodeOr({ any: true })
  const service = () => nodeService(node())
  const coin = () => node().fund(OP_TRUE, 100_000)

  it('takes a chain of transactions in order, sees them, and says where they are mined', async () => {
    const a = spend([await coin()], [100_000n - FEE])
    const b = spend([{ txid: a.txid, vout: 0 }], [100_000n - 2n * FEE])
    expect(await service().send([a, b])).toEqual([a, b].map(({ txid }) => ({ txid, says: 'sent' })))
    expect(await service().ask(b.txid)).toEqual({ txid: b.txid, says: 'seen' })
    expect(await service().send([a])).toEqual([{ txid: a.txid, says: 'seen' }])
    const [blockHash] = await node().generate(1)
    const height = await node().rpc<number>('getblockcount')
    expect(await service().ask(a.txid)).toEqual({ txid: a.txid, says: 'mined', height, blockHash })
    expect(await service().send([b])).toEqual([{ txid: b.txid, says: 'seen' }])
  })

  it('gives the proof of a mined transaction to whoever makes a BUMP of it', async () => {
    const { txid } = await coin()
    const [blockHash] = await node().generate(1)
    const given: unknown[] = []
    const bumpOf = (...proofAndHeight: [unknown, number]) => Buffer.from([given.push(...proofAndHeight)])
    expect(await nodeService({ ...address(), bumpOf }).ask(txid)).toMatchObject({ says: 'mined', proof: Buffer.from([2]) })
    expect(given).toEqual([await node().rpc('getmerkleproof2', blockHash, txid), await node().rpc('getblockcount')])
    const refuse = () => {
      throw new OverpoolError('BAD_MESSAGE', 'it leads to no root')
    }
    expect(await nodeService({ ...address(), bumpOf: refuse }).ask(txid)).not.toHaveProperty('proof')
  })

  it('goes back to seen when its block is taken back', async () => {
    const { txid } = await coin()
    const [blockHash] = await node().generate(1)
    await node().rpc('invalidateblock', blockHash)
    expect(await service().ask(txid)).toEqual({ txid, says: 'seen' })
    await node().rpc('reconsiderblock', blockHash)
    expect(await service().ask(txid)).toMatchObject({ says: 'mined', blockHash })
  })

  it('knows nothing of a transaction that it has not got', async () => {
    const txid = 'bb'.repeat(32)
    expect(await service().ask(txid)).toEqual({ txid, says: 'unknown' })
  })

  it('names the transaction in its mempool that spends the same output', async () => {
    const from = await coin()
    const [first, second] = [spend([from], [50_000n]), spend([from], [60_000n])]
    await service().send([first])
    expect(await service().send([second])).toEqual([
      { txid: second.txid, says: 'double-spent', reason: '258: txn-mempool-conflict', competing: [first.txid] },
    ])
  })

  it('finds out that an output is spent in a block, and tells it from one that does not exist yet', async () => {
    const from = await coin()
    const [first, second] = [spend([from], [50_000n]), spend([from], [60_000n])]
    await service().send([first])
    await node().generate(1)
    const early = spend([{ txid: 'cc'.repeat(32), vout: 0 }], [1_000n])
    const beyond = spend([{ txid: first.txid, vout: 7 }], [1_000n])
    expect(await service().send([second, early, beyond])).toEqual([
      { txid: second.txid, says: 'double-spent', reason: `missing-inputs: ${from.txid}:${from.vout} is spent by another transaction` },
      { txid: early.txid, says: 'local', reason: '16: missing-inputs' },
      { txid: beyond.txid, says: 'local', reason: '16: missing-inputs' },
    ])
  })

  it('gets nothing if it is on another network than the config says', async () => {
    const other = nodeService({ url: node().url, user: node().user, password: node().password, network: 'main' })
    const locked = spend([await coin()], [50_000n])
    await expect(other.send([locked])).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('on the network "regtest", and bitcoin.network is "main"'),
    })
    expect(await service().ask(locked.txid)).toEqual({ txid: locked.txid, says: 'unknown' })
  })

  it('takes a transaction before its lock time, and sees it from then on', async () => {
    const from = await coin()
    const height = (await node().rpc<number>('getblockcount')) + 2
    const locked = spend([from], [50_000n], { lockTime: height, sequence: 1 })
    expect(await service().send([locked])).toEqual([{ txid: locked.txid, says: 'sent' }]) // the node keeps it beside its mempool
    expect(await service().ask(locked.txid)).toEqual({ txid: locked.txid, says: 'unknown' })
    await node().generate(2)
    await expect.poll(() => service().ask(locked.txid), { timeout: 20_000 }).toEqual({ txid: locked.txid, says: 'seen' })
  })

  it('rejects for named causes, and takes the others of the batch', async () => {
    // A coin each: of two that spend the same, the node may find that first.
    const tooMuch = spend([await coin()], [100_001n])
    const badScript = spend([await coin()], [50_000n], { unlocking: '6a' })
    const good = spend([await coin()], [60_000n])
    const words = await service().send([tooMuch, badScript, good])
    expect(words).toEqual([
      { txid: tooMuch.txid, says: 'rejected', final: true, reason: '16: bad-txns-in-belowout' },
      { txid: badScript.txid, says: 'rejected', final: true, reason: expect.stringContaining('verify-flag-failed') },
      { txid: good.txid, says: 'sent' },
    ])
  })

  it('rejects what is no transaction, and takes the others of the batch', async () => {
    const bad = { tx: Buffer.from('0100', 'hex'), txid: 'dd'.repeat(32) }
    const good = spend([await coin()], [60_000n])
    expect(await service().send([bad, good])).toEqual([
      { txid: bad.txid, says: 'rejected', final: true, reason: '-22: TX decode failed' },
      { txid: good.txid, says: 'sent' },
    ])
  })

  it('takes more than a batch', async () => {
    const fan = spend(
      [await coin()],
      Array.from({ length: 250 }, () => 300n),
    )
    const children = Array.from({ length: 250 }, (_, vout) => spend([{ txid: fan.txid, vout }], [200n]))
    const grandchildren = children.map(({ txid }) => spend([{ txid, vout: 0 }], [100n]))
    const words = await service().send([fan, ...children, ...grandchildren])
    expect(words).toHaveLength(501)
    expect(words.filter(({ says }) => says !== 'sent')).toEqual([])
  })

  it('is away with another password, whose text no error holds', async () => {
    const wrong = nodeService({ ...address(), password: 'not-the-password' })
    for (const call of [() => wrong.ask('ee'.repeat(32)), () => wrong.send([{ tx: Buffer.from('00'), txid: 'ee'.repeat(32) }])])
      await expect(call()).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        retryable: true,
        message: expect.not.stringContaining('not-the-password'),
      })
    expect(wrong.name).toBe(service().name)
    expect(service().name).toBe(`node ${new URL(node().url).host}`)
  })

  const address = () => ({ url: node().url, user: node().user, password: node().password })
})
