import { expect, it } from 'vitest'
import { systemClock } from '../../shared/clock.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { decodeIngress } from '../../shared/ledger/messages.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { blockOf, type Ledger, postOf, tempLedger } from './ledger.ts'

function poolsOf({ stores, ingress }: Ledger, clock = systemClock): LedgerPools {
  return new LedgerPools({ stores, ingress, clock, settings: () => checkSettings({}, ''), postFailed: () => {} })
}

it('an entry is found as soon as its block is in the ledger, also before its receipt is written', async () => {
  await using ledger = await tempLedger()
  const { stores } = ledger
  const old = postOf('entry 0')
  await stores.blocks.put('a', blockOf(0, 0, 'entry 0'))
  await stores.receipts.put('a', [{ key: old.txid, id: old.id, txid: old.txid, seq: 0, block: 0 }])
  await stores.control.update('a', { checkpoint: 1 })
  await stores.blocks.put('a', blockOf(1, 1, 'entry 1'))
  await stores.blocks.put('a', blockOf(2, 2, 'entry 2', 'entry 3'))
  const pools = poolsOf(ledger)
  for (const seq of [0, 1, 2, 3]) expect((await pools.get({ path: 'a', hash: postOf(`entry ${seq}`).txid })).seq).toBe(seq)
  await expect(pools.get({ path: 'a', hash: postOf('no entry').txid })).rejects.toMatchObject({ code: 'ENTRY_NOT_FOUND' })
})

it('several reads right after a post all wait until it is in the ledger', async () => {
  await using ledger = await tempLedger()
  const { stores, ingress } = ledger
  const pools = poolsOf(ledger)
  const { hash } = await pools.post({ path: 'a', payment: sampleTransaction('mine') })
  const reads = [pools.tail({ path: 'a' }), pools.tail({ path: 'a' }), Array.fromAsync(pools.read({ path: 'a' }))]
  const [message] = await ingress.receive({ max: 1, waitMs: 0 })
  await stores.blocks.put('a', encodeBlock(0, 0, [decodeIngress(message!.body).entry]))
  await ingress.delete([message!])
  for (const read of reads) expect((await read).map((event) => event.hash)).toEqual([hash])
})

it('a read after a post stops waiting after a while', async () => {
  await using ledger = await tempLedger()
  let elapsed = 0
  const sleep = async (ms: number) => {
    elapsed += ms
    await systemClock.sleep(1)
  }
  const pools = poolsOf(ledger, { ...systemClock, elapsed: () => elapsed, sleep })
  await pools.post({ path: 'a', payment: sampleTransaction('nobody takes it') })
  expect(await pools.tail({ path: 'a' })).toEqual([])
})
