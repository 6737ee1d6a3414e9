import { describe, expect, it } from 'vitest'
import { atomic, beef, field, threeSteps, txidOf, V1, V2 } from '../formats/made.ts'
import { TestMachine, until } from '../machine/machine.ts'

// One transaction in every format and notation that wallets send.

const { mined, parent, subject, bump, members } = threeSteps()
const FORMATS: [name: string, bytes: Buffer][] = [
  ['raw', subject],
  ['BEEF', beef(V1, [bump], members)],
  ['BEEF V2', beef(V2, [bump], members)],
  ['AtomicBEEF', atomic(subject, beef(V2, [bump], members))],
]
const notations = (bytes: Buffer) => [bytes.toString('hex'), bytes.toString('base64'), [...bytes]]

describe('a payment in any format', () => {
  it('is one entry, the raw transaction, and its ancestors are kept', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    for (const [name, bytes] of FORMATS)
      for (const transaction of notations(bytes)) {
        const { status, body } = await machine.post('mypool', { transaction })
        expect([status, body], name).toEqual([200, { payment: { transaction }, memo: 'Received into mypool', error: 0, success: true }])
      }
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 1,
    )
    const [event, ...more] = await machine.call('read', { path: 'mypool' })
    expect([event!.hash, event!.payment.transaction, more]).toEqual([txidOf(subject), subject.toString('hex'), []])
    const ancestors = await machine.call('ancestors', { path: 'mypool', hash: txidOf(subject) })
    expect(ancestors).toEqual([
      { hash: txidOf(mined), transaction: mined.toString('hex'), proofs: [bump.toString('hex')] },
      { hash: txidOf(parent), transaction: parent.toString('hex'), proofs: [] },
    ])
  })

  it('is the same for programs, which read it right after', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    for (const [n, payment] of notations(FORMATS[3]![1]).entries()) {
      const posted = await machine.call('post', { path: 'mypool', payment: payment as string })
      expect([posted.hash, posted.payment]).toEqual([txidOf(subject), { transaction: subject.toString('hex') }])
      expect((await machine.call('tail', { path: 'mypool', size: 1 }))[0]!.seq).toBe(n)
    }
    expect(await machine.call('ancestors', { path: 'mypool', hash: txidOf(subject) })).toHaveLength(2)
    await machine.call('post', { path: 'mypool', payment: field('06-sdk-ef.hex').toString('hex') })
    const { hash } = (await machine.call('tail', { path: 'mypool', size: 1 }))[0]!
    expect([hash, await machine.call('ancestors', { path: 'mypool', hash })]).toEqual([txidOf(field('06-sdk-raw.hex')), []])
  })
})
