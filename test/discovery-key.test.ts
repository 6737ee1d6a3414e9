import fc from 'fast-check'
import crypto from 'hypercore-crypto'
import { expect, it } from 'vitest'
import { discoveryKeyOf } from '../shared/ledger/discovery-key.ts'

it("a pool's discovery key is the one that hypercore derives from its key", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const key = Buffer.from(bytes)
      expect(discoveryKeyOf(key.toString('hex'))).toBe(crypto.discoveryKey(key).toString('hex'))
    }),
    { numRuns: 1_000 },
  )
})
