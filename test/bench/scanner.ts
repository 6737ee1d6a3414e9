import { Transaction } from '@bsv/sdk'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { type Effort, type Figures, median, number } from './report.ts'
import { plain } from './transactions.ts'

/** Computes the txids of 226-byte transactions by turns with the scanner and with @bsv/sdk. */
export async function scanner({ smoke }: Effort): Promise<Figures> {
  const [rounds, count] = smoke ? [1, 1_000] : [9, 20_000]
  const transactions = Array.from({ length: count }, (_, i) => plain(i))
  const ways = [
    { name: 'scanTransaction', txid: (bytes: Uint8Array) => scanTransaction(bytes).txid as string, rates: [] as number[] },
    { name: '@bsv/sdk', txid: (bytes: Uint8Array) => Transaction.fromBinary([...bytes]).id('hex'), rates: [] as number[] },
  ]
  const [ours, sdk] = ways as [(typeof ways)[0], (typeof ways)[0]]
  if (transactions.slice(0, 100).some((bytes) => ours.txid(bytes) !== sdk.txid(bytes)))
    throw new Error('the scanner and @bsv/sdk compute different txids')
  for (let round = -1; round < rounds; round++) {
    for (const { txid, rates } of ways) {
      const start = performance.now()
      for (const bytes of transactions) txid(bytes)
      if (round >= 0) rates.push((count / (performance.now() - start)) * 1_000) // the first warms up
    }
  }
  const rate = median(ours.rates)
  return {
    title: `scanner: 226-byte transactions, bytes to txid, one thread; medians of ${rounds} rounds by turns`,
    rows: [
      ['', 'transactions/s'],
      ...ways.map(({ name, rates }) => [name, number(median(rates))]),
      ['ratio', number(rate / median(sdk.rates))],
    ],
    goals: [{ what: '250,000 transactions/s', met: rate >= 250_000 }],
  }
}
