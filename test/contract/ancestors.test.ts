import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ancestors, findAncestor, MAX_PROOFS } from '../../shared/store/ancestors.ts'
import { spending, txidOf } from '../formats/made.ts'
import { SIDES, type Side } from './sides.ts'

describe.each(SIDES)('what came along with payments, on %s', (_, make) => {
  let side: Side
  let ancestors: Ancestors
  /** the same, as another process opens it */
  let other: Ancestors
  beforeAll(async () => {
    side = await make()
    ancestors = side.stores().ancestors
    other = side.stores().ancestors
  })
  afterAll(() => side?.close())

  const root = () => randomBytes(32).toString('hex')
  let n = 0
  const fresh = () => {
    const tx = spending([], `ancestor ${n++}`)
    return { tx, txid: txidOf(tx) }
  }

  it('is found by another process, once it was put', async () => {
    const [{ tx, txid }, { txid: subject }] = [fresh(), fresh()]
    const spent = randomBytes(34)
    await ancestors.put([
      { txid, tx },
      { txid: subject, spent },
    ])
    expect(Buffer.compare((await other.transaction(txid))!, tx)).toBe(0)
    expect((await findAncestor(other, txid))?.txid).toBe(txid)
    expect(Buffer.compare((await other.spent(subject))!, spent)).toBe(0)
    expect([await other.spent(txid), await other.transaction(subject), await other.proofs(txid)]).toEqual([undefined, undefined, []])
    expect(await findAncestor(other, subject)).toBeUndefined()
  })

  it('stays as it is when it is put again', async () => {
    const { tx, txid } = fresh()
    const proof = { root: root(), bump: randomBytes(70) }
    for (const part of [{ tx }, { proof }, { tx, proof }, { tx }]) await ancestors.put([{ txid, ...part }])
    await ancestors.put([])
    expect(Buffer.compare((await other.transaction(txid))!, tx)).toBe(0)
    expect((await other.proofs(txid)).map((bump) => Buffer.from(bump).toString('hex'))).toEqual([proof.bump.toString('hex')])
  })

  it('has one proof for each root, and a bounded number of them', async () => {
    const { tx, txid } = fresh()
    const proofs = Array.from({ length: MAX_PROOFS + 2 }, () => ({ root: root(), bump: randomBytes(70) }))
    for (const proof of proofs) await ancestors.put([{ txid, tx, proof }])
    await ancestors.put([{ txid, proof: { ...proofs[0]!, bump: randomBytes(71) } }])
    expect(await other.proofs(txid)).toHaveLength(MAX_PROOFS)
    expect(await other.proofs(fresh().txid)).toEqual([])
  })

  it('says of spent outputs what was said last', async () => {
    const { txid } = fresh()
    for (const length of [34, 35]) await ancestors.put([{ txid, spent: randomBytes(length) }])
    expect(await other.spent(txid)).toHaveLength(35)
  })

  it('is hundreds of transactions, and some of megabytes', async () => {
    const many = Array.from({ length: 300 }, fresh)
    const large = Buffer.alloc(2_000_000, 7)
    await ancestors.put([...many, { txid: root(), tx: large }])
    for (const { tx, txid } of [many[0]!, many.at(-1)!]) expect(Buffer.compare((await other.transaction(txid))!, tx)).toBe(0)
  })
})
