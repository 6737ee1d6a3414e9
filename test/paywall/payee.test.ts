import { randomBytes } from 'node:crypto'
import { PrivateKey, ProtoWallet } from '@bsv/sdk'
import { expect, it } from 'vitest'
import { ANYONE, keyOf, payeeOf } from '../../shared/paywall/payee.ts'

it('derives the keys that ProtoWallet of @bsv/sdk derives, for payers and for itself', async () => {
  const payer = PrivateKey.fromRandom().toPublicKey().toString()
  for (let i = 0; i < 200; i++) {
    const secret = randomBytes(16).toString('hex')
    const [ours, theirs] = [await payeeOf(secret, 'mypool'), new ProtoWallet(PrivateKey.fromHex(keyOf(secret, 'mypool')))]
    for (const counterparty of i % 20 ? [ANYONE] : [ANYONE, payer]) {
      const asked = {
        protocolID: [2, '3241645161d8'] as [2, string],
        keyID: `${randomBytes(12).toString('base64')} aW52b2ljZQ==`,
        counterparty,
        forSelf: true,
      }
      expect(await ours.getPublicKey(asked)).toEqual(await theirs.getPublicKey(asked))
    }
  }
  const anyone = new ProtoWallet('anyone')
  expect((await anyone.getPublicKey({ identityKey: true })).publicKey).toBe(ANYONE)
})
