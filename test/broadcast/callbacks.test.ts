import { describe, expect, it } from 'vitest'
import { callbackToken, MAX_CALLBACK_BYTES, readCallback } from '../../shared/broadcast/callbacks.ts'

const SECRET = 'a secret of this machine'
const [A, B] = ['aa'.repeat(32), 'bb'.repeat(32)] as [string, string]
const bearer = (txid: string, secret = SECRET) => `Bearer ${callbackToken(secret, txid)}`
const read = (body: unknown, authorization?: string) => readCallback(Buffer.from(JSON.stringify(body)), authorization, SECRET)
const coded = (code: string) => expect.objectContaining({ code })

const seen = {
  txid: A,
  txStatus: 'SEEN_ON_NETWORK',
  timestamp: '2026-04-28T18:21:52Z',
  extraInfo: '',
  merklePath: '',
  blockHash: '',
  blockHeight: 0,
}
const mined = {
  txid: A,
  txStatus: 'MINED',
  timestamp: '2026-04-28T18:31:00Z',
  merklePath: 'fe8a',
  blockHash: 'cc'.repeat(32),
  blockHeight: 813_706,
}

describe('a callback', () => {
  it('is a word with the service’s own time', () => {
    expect(read(seen, bearer(A))).toEqual([{ txid: A, says: 'seen', mark: seen.timestamp }])
    expect(read({ ...seen, txid: A.toUpperCase() }, bearer(A))).toEqual([{ txid: A, says: 'seen', mark: seen.timestamp }])
  })

  it('says the same when it is sent again', () => {
    expect(read(mined, bearer(A))).toEqual(read(mined, bearer(A)))
    expect(read(mined, bearer(A))).toEqual([
      { txid: A, says: 'mined', height: 813_706, blockHash: 'cc'.repeat(32), proof: new Uint8Array([0xfe, 0x8a]), mark: mined.timestamp },
    ])
  })

  it('is forged with the token of another transaction, of another machine, or with none', () => {
    const forged = [
      bearer(B),
      bearer(A, 'another secret'),
      undefined,
      '',
      'Bearer ',
      `Basic ${callbackToken(SECRET, A)}`,
      `${bearer(A)}x`,
      'Bearer ü',
    ]
    for (const authorization of forged) expect(() => read(seen, authorization)).toThrow(coded('CALLBACK_FORGED'))
  })

  it.each([
    ['a list', [seen, mined]],
    ['the object that ARC batches them in', { count: 2, callbacks: [seen, mined] }],
  ])('may come batched, in %s', (_, batch) => {
    expect(read(batch, bearer(A)).map(({ says }) => says)).toEqual(['seen', 'mined'])
  })

  it('proves nothing of the others in its batch', () => {
    expect(read([{ ...mined, txid: B }, seen], bearer(A)).map(({ txid }) => txid)).toEqual([A])
    expect(() => read([{ ...mined, txid: B }], bearer(A))).toThrow(coded('CALLBACK_FORGED'))
  })

  it.each([
    ['no JSON', Buffer.from('{')],
    ['no object', Buffer.from('7')],
    ['no txid', Buffer.from('{"txStatus":"MINED"}')],
    ['a txid that is none', Buffer.from('{"txid":"abc","txStatus":"MINED"}')],
    ['an empty batch', Buffer.from('[]')],
    ['a batch that is none', Buffer.from('{"callbacks":7}')],
    ['more than 50', Buffer.from(JSON.stringify(Array.from({ length: 51 }, () => seen)))],
    ['too many bytes', Buffer.alloc(MAX_CALLBACK_BYTES + 1, 0x20)],
  ])('is refused when it holds %s', (_, body) => {
    expect(() => readCallback(body, bearer(A), SECRET)).toThrow(coded('BAD_CALLBACK'))
  })

  it('has a token that a header can carry', () => {
    expect(callbackToken(SECRET, A)).toMatch(/^[\w-]{43}$/)
  })
})
