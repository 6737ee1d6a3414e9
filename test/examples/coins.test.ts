import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { P2PKH, PrivateKey, Transaction } from '@bsv/sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { funded } from '../../examples/coins.ts'
import { dataTransaction, Overpool } from '../../index.ts'

describe('the coins of the recipes', () => {
  const key = PrivateKey.fromRandom()
  const note = dataTransaction('a note')
  let dir: string
  let pool: Overpool

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'overpool-coins-'))
    pool = new Overpool({ dir })
    await pool.create({ path: 'wallet', port: false })
  })
  afterEach(async () => {
    await pool.close()
    rmSync(dir, { recursive: true })
  })

  /** A transaction that pays this to some keys is in the pool. */
  const pay = (satoshis: number, ...to: PrivateKey[]) =>
    pool.post({
      path: 'wallet',
      payment: new Transaction(
        1,
        [],
        to.map((each) => ({ satoshis, lockingScript: new P2PKH().lock(each.toAddress()) })),
      ),
    })

  it('fund a transaction out of the newest output that pays to the key, and give the change back', async () => {
    await pay(700, key)
    const { hash } = await pay(900, PrivateKey.fromRandom(), key)
    await pay(800, PrivateKey.fromRandom())
    const signed = await funded(note, pool, key)
    const [{ sourceTransaction, sourceOutputIndex } = {}] = signed.inputs
    expect([sourceTransaction?.id('hex'), sourceOutputIndex]).toEqual([hash, 1])
    expect(signed.outputs).toHaveLength(2)
    expect(signed.outputs[1]!.lockingScript.toHex()).toBe(new P2PKH().lock(key.toAddress()).toHex())
    expect(signed.outputs[1]!.satoshis).toBe(900 - signed.getFee())
  })

  it('say what is missing: a coin, or a larger one', async () => {
    await expect(funded(note, pool, key)).rejects.toThrow('nobody has paid to the key yet')
    await pay(20, key)
    await expect(funded(note, pool, key)).rejects.toThrow(`the coin is too small: pay more to ${key.toAddress()}`)
  })
})
