import { P2PKH, type PrivateKey, SatoshisPerKilobyte, Transaction } from '@bsv/sdk'
import type { Pools } from 'overpool-cloud'

/**
 * Funds and signs a transaction that has no inputs yet. It spends the newest output in the pool `wallet` that pays to the key; the change goes back to the key. The key is for
 * this alone: what another program spends of it is not known here.
 * @param template hex, such as `dataTransaction` gives
 */
export async function funded(template: string, pool: Pick<Pools, 'tail'>, key: PrivateKey): Promise<Transaction> {
  const lockingScript = new P2PKH().lock(key.toAddress())
  const coin = await newestCoin(pool, lockingScript.toHex())
  const { version, outputs, lockTime } = Transaction.fromHex(template)
  const transaction = new Transaction(version, [], [...outputs], lockTime)
  transaction.addInput({ ...coin, unlockingScriptTemplate: new P2PKH().unlock(key) })
  transaction.addOutput({ lockingScript, change: true })
  await transaction.fee(new SatoshisPerKilobyte(500))
  if (transaction.outputs.length === outputs.length) throw new Error(`the coin is too small: pay more to ${key.toAddress()}`)
  await transaction.sign()
  return transaction
}

async function newestCoin(pool: Pick<Pools, 'tail'>, script: string) {
  for (const { payment, status } of (await pool.tail({ path: 'wallet', size: 100 })).reverse()) {
    if (status === 'rejected' || status === 'double-spent') continue
    const sourceTransaction = Transaction.fromHex(payment.transaction)
    const sourceOutputIndex = sourceTransaction.outputs.findLastIndex(({ lockingScript }) => lockingScript.toHex() === script)
    if (sourceOutputIndex >= 0) return { sourceTransaction, sourceOutputIndex }
  }
  throw new Error('nobody has paid to the key yet')
}
