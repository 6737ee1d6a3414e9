import { hash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Blobs } from '../../shared/blobs/port.ts'
import { AWS_SIDES, type AwsSide } from './sides.ts'

describe.each(AWS_SIDES)('blobs on %s', (_, make) => {
  let side: AwsSide
  let blobs: Blobs
  beforeAll(async () => {
    side = await make()
    blobs = side.blobs()
  })
  afterAll(() => side?.close())

  it.each([
    ['a few bytes', Buffer.from('a few bytes')],
    ['no bytes', new Uint8Array(0)],
    ['every value of a byte', Uint8Array.from({ length: 256 }, (_, i) => i)],
    ['a part of a larger buffer', new Uint8Array(100).fill(7).subarray(10, 20)],
    ['six million bytes', Buffer.alloc(6_000_000, 'overpool')],
  ])('are held under their sha256: %s', async (_, bytes) => {
    const sha256 = await blobs.put(bytes)
    expect(sha256).toBe(hash('sha256', bytes))
    expect(Buffer.compare(await side.blobs().get(sha256), bytes)).toBe(0)
  })

  it('can be put again, also many at once', async () => {
    const bytes = Buffer.from('again and again')
    const names = await Promise.all(Array.from({ length: 10 }, () => side.blobs().put(bytes)))
    expect(new Set(names)).toEqual(new Set([hash('sha256', bytes)]))
    expect(Buffer.compare(await blobs.get(names[0]!), bytes)).toBe(0)
  })

  it('that do not exist fail as ENTRY_NOT_FOUND', async () => {
    await expect(blobs.get('0'.repeat(64))).rejects.toMatchObject({ code: 'ENTRY_NOT_FOUND', retryable: false })
  })

  it('that are damaged cannot be read, until another put repairs them', async () => {
    const bytes = Buffer.from('to be damaged')
    const sha256 = await blobs.put(bytes)
    await side.damageBlob(sha256)
    await expect(blobs.get(sha256)).rejects.toMatchObject({ code: 'BAD_BLOCK' })
    await blobs.put(bytes)
    expect(Buffer.compare(await blobs.get(sha256), bytes)).toBe(0)
  })

  it.each(['', '../ledger.sqlite', 'A'.repeat(64), '0'.repeat(63), '0'.repeat(65), `${'0'.repeat(64)}\n`])(
    'are not looked for as %j',
    async (name) => {
      await expect(blobs.get(name)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    },
  )
})
