import { expect, it } from 'vitest'
import { openLedgerFile } from '../../local/ports.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import { idOfName } from '../../shared/ledger/ids.ts'
import { encodeIngress, type IngressMessage } from '../../shared/ledger/messages.ts'
import { transactionFromHex } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { payment, TestMachine, until } from '../machine/machine.ts'

// A pool with `unique: 'transaction'`, where the door cannot see it: posts of other processes, and entries from before the setting.

/** A named post of the transaction that carries this text. */
function named(name: string, text: string): IngressMessage {
  const { txid, bytes: tx } = transactionFromHex(sampleTransaction(text))
  const id = idOfName('mypool', name)
  const entry = encodeEntry({ kind: 'tx', id, at: 0, tx, payment: {}, source: 'api', hops: 0 })
  return { pool: 'mypool', id, txid, named: true, entry }
}

const drained = (machine: TestMachine) =>
  until(
    () => machine.call('ingress'),
    ({ waiting, inFlight }) => waiting + inFlight === 0,
  )

it('a pool that takes each transaction once from now on knows its earlier entries, also in the blocks of this run', async () => {
  await using machine = await TestMachine.start({ mypool: {} })
  const { transaction } = payment('same')
  for (const memo of ['a', 'b']) await machine.post('mypool', { transaction, memo })
  await machine.stop()
  await machine.start({ pools: { mypool: { unique: 'transaction' } } })
  expect((await machine.post('mypool', { transaction, memo: 'c' })).status).toBe(200)
  await machine.call('post', { path: 'mypool', payment: { transaction, memo: 'd' }, id: 'order 7' })
  await drained(machine)
  expect(await machine.call('length', 'mypool')).toBe(2)
})

it('posts of other processes count, together and one after the other', async () => {
  await using machine = await TestMachine.start({ mypool: { unique: 'transaction' } })
  const ledger = openLedgerFile(machine.dir)
  const send = (...posts: IngressMessage[]) => ledger.ingress.send(posts.map((post) => ({ body: encodeIngress(post), group: 'mypool' })))
  await send(named('a', 'same'), named('b', 'same'), named('c', 'same'), named('d', 'another'))
  await drained(machine)
  await send(named('e', 'same'))
  await drained(machine)
  ledger.close()
  expect(await machine.call('length', 'mypool')).toBe(2)
})

it('a post that loses its name to another transaction takes no copy of its own transaction with it', async () => {
  await using machine = await TestMachine.start({ mypool: { unique: 'transaction' } })
  const ledger = openLedgerFile(machine.dir)
  await machine.call('post', { path: 'mypool', payment: payment('first'), id: 'order 7' })
  // The name stands for the first transaction; the wallet's post of the second one must enter the ledger all the same.
  const second = named('order 7', 'second')
  const byWallet = named('a wallet', 'second')
  await ledger.ingress.send([second, byWallet].map((post) => ({ body: encodeIngress(post), group: 'mypool' })))
  await drained(machine)
  ledger.close()
  expect((await machine.call('tail', { path: 'mypool' })).map((e) => e.hash)).toEqual([
    transactionFromHex(sampleTransaction('first')).txid,
    second.txid,
  ])
  expect((await machine.call('reports')).filter((line) => line.startsWith('post-differs'))).toHaveLength(1)
})
