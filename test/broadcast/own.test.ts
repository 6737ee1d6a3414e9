import { expect, it } from 'vitest'
import { ownService } from '../../shared/broadcast/own.ts'
import type { OwnService } from '../../shared/config/bitcoin.ts'

const [A, B] = ['aa'.repeat(32), 'bb'.repeat(32)] as [string, string]
const sent = [
  { tx: Buffer.from('01', 'hex'), txid: A },
  { tx: Buffer.from('02', 'hex'), txid: B },
]
const failing = (error: unknown): OwnService => {
  return function mine() {
    throw error
  }
}

it('a function gets the hex of all transactions in order, and they are sent when it resolves', async () => {
  const got: unknown[] = []
  const service = ownService(async (transactions) => void got.push(...transactions))
  expect(await service.send(sent)).toEqual([
    { txid: A, says: 'sent' },
    { txid: B, says: 'sent' },
  ])
  expect(got).toEqual([
    { tx: '01', txid: A },
    { tx: '02', txid: B },
  ])
  expect(await service.ask(A)).toEqual({ txid: A, says: 'unknown' })
})

it('a function that throws leaves the transactions worth another try', async () => {
  const service = ownService(failing(new Error('the line is dead')))
  expect(service.name).toBe('function mine')
  expect(await service.send(sent.slice(1))).toEqual([{ txid: B, says: 'local', reason: 'the line is dead' }])
  expect(await ownService(failing(undefined)).send(sent.slice(1))).toEqual([{ txid: B, says: 'local', reason: 'undefined' }])
})

it('a function that throws a final error rejects the transactions', async () => {
  const final = Object.assign(new Error('no'), { final: true, reason: 'dust' })
  expect(await ownService(failing(final)).send(sent.slice(1))).toEqual([{ txid: B, says: 'rejected', final: true, reason: 'dust' }])
})
