import { P2PKH, PrivateKey, Transaction } from '@bsv/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { readTransaction } from '../../shared/chain/any-format.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { checkSigned } from '../../shared/machine/signed.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { paying } from './pay.ts'

const [key, other] = [PrivateKey.fromHex('11'.repeat(32)), PrivateKey.fromHex('22'.repeat(32))]

/** A transaction that spends one of `source`'s outputs, signed with this key. */
async function spending(source: Transaction, signer: PrivateKey): Promise<Transaction> {
  const transaction = new Transaction()
  transaction.addInput({ sourceTransaction: source, sourceOutputIndex: 0, unlockingScriptTemplate: new P2PKH().unlock(signer) })
  transaction.addOutput({ satoshis: 900, lockingScript: new P2PKH().lock(other.toAddress()) })
  await transaction.sign()
  return transaction
}

let good: Transaction
let forged: Transaction
beforeAll(async () => {
  const source = new Transaction(1, [], [{ satoshis: 1_000, lockingScript: new P2PKH().lock(key.toAddress()) }])
  good = await spending(source, key)
  forged = await spending(source, other)
})

const check = (sent: string | Uint8Array) => checkSigned(readTransaction(sent))
const refused = (message: RegExp) => ({ code: 'BAD_TRANSACTION', message: expect.stringMatching(message) as unknown })

describe('verify: signed', () => {
  it('runs the scripts of what came with its ancestors', async () => {
    for (const sent of [Uint8Array.from(good.toBEEF(true)), Uint8Array.from(good.toAtomicBEEF(true)), good.toHexEF()])
      await expect(check(sent)).resolves.toBeUndefined()
    for (const sent of [Uint8Array.from(forged.toBEEF(true)), forged.toHexEF()])
      await expect(check(sent)).rejects.toMatchObject(refused(/the signature of its input 0 is wrong/))
  })

  it('of a raw transaction sees no more than that it has unlocking scripts', async () => {
    for (const raw of [good, forged]) await expect(check(raw.toHex())).resolves.toBeUndefined()
    await expect(check(paying([{ satoshis: 1, script: '51' }]))).rejects.toMatchObject(refused(/its input 0 is not signed/))
    await expect(check(sampleTransaction('x'))).rejects.toMatchObject(refused(/it has no inputs/))
  })

  it('is a setting of a pool', () => {
    expect(checkSettings({}, 'x').verify).toBe('structure')
    expect(() => checkSettings({ verify: 'maybe' as never }, 'pools.a')).toThrow(/pools\.a\.verify is 'structure' or 'signed'/)
  })
})
