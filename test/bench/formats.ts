import { Beef, Transaction } from '@bsv/sdk'
import { scanBeef } from '../../shared/chain/beef.ts'
import { MerkleStream } from '../../shared/chain/merkle.ts'
import { varint } from '../../shared/transaction/data.ts'
import { digestOf } from '../../shared/transaction/digest.ts'
import { extendedFormat, scanExtended } from '../../shared/transaction/index.ts'
import { type Effort, type Figures, median, number } from './report.ts'
import { plain } from './transactions.ts'

/** What BRC-100 wallets send: a payment and ten payments before it that are not in a block yet, below one that is in a block of 4,000. */
const UNCONFIRMED = 10
const BLOCK = 4_000
const SPENT = { satoshis: 2_000_000n, script: Buffer.from('76a914fc7250a211deddc70ee5a2738de5f07817351cef88ac', 'hex') }

/** A turn takes so long at least: in a few milliseconds the garbage of the one before it counts as much as its own work. */
const LEAST_MS = 100

interface Way {
  format: string
  name: string
  messages: Uint8Array[]
  txid: (bytes: Uint8Array) => string
  rates: number[]
}

/** Reads messages in the extended format and in BEEF by turns with our scanners and with @bsv/sdk. */
export async function formats({ smoke }: Effort): Promise<Figures> {
  const [rounds, count] = smoke ? [1, 100] : [9, 2_000]
  const extended = Array.from({ length: count }, (_, i) => extendedFormat(plain(i), [SPENT]))
  const beefs = Array.from({ length: Math.ceil(count / 10) }, (_, i) => chained(i))
  const ways: Way[] = [
    { format: 'extended', name: 'ours', messages: extended, txid: (bytes) => scanExtended(bytes).scanned.txid, rates: [] },
    { format: 'extended', name: '@bsv/sdk', messages: extended, txid: (bytes) => Transaction.fromEF([...bytes]).id('hex'), rates: [] },
    { format: 'BEEF', name: 'ours', messages: beefs, txid: (bytes) => scanBeef(bytes).subject.txid, rates: [] },
    { format: 'BEEF', name: '@bsv/sdk', messages: beefs, txid: theirSubject, rates: [] },
  ]
  for (const [ours, theirs] of [ways.slice(0, 2), ways.slice(2)] as [Way, Way][])
    if (ours.messages.slice(0, 10).some((bytes) => ours.txid(bytes) !== theirs.txid(bytes)))
      throw new Error(`our scanner and @bsv/sdk find different transactions in ${ours.format}`)
  for (let round = -1; round < rounds; round++) {
    for (const { messages, txid, rates } of ways) {
      let bytes = 0
      const start = performance.now()
      do {
        for (const message of messages) txid(message)
        bytes += messages.reduce((sum, { length }) => sum + length, 0)
      } while (performance.now() - start < LEAST_MS)
      if (round >= 0) rates.push(bytes / 1_000 / (performance.now() - start)) // the first warms up
    }
  }
  const [ef, , beef] = ways.map(({ rates }) => median(rates)) as [number, number, number, number]
  return {
    title: `formats: bytes to the subject's txid, every id and proof checked, one thread; medians of ${rounds} rounds by turns`,
    rows: [
      ['', 'bytes a message', 'MB/s'],
      ...ways.map(({ format, name, messages, rates }) => [`${format}, ${name}`, number(messages[0]!.length), number(median(rates))]),
    ],
    goals: [
      { what: 'extended format, 100 MB/s', met: ef >= 100 },
      { what: 'BEEF, 100 MB/s', met: beef >= 100 },
    ],
  }
}

/** The subject of a BEEF, with the ids and roots that our scanner computes as well. */
function theirSubject(bytes: Uint8Array): string {
  const beef = Beef.fromBinary([...bytes])
  const ids = beef.txs.map(({ txid }) => txid)
  for (const bump of beef.bumps) bump.computeRoot()
  return ids.at(-1)!
}

/** A BEEF of a chain of payments. */
function chained(i: number): Uint8Array {
  const chain = [Buffer.from(plain(i))]
  for (let left = UNCONFIRMED + 1; left > 0; left--) {
    const next = Buffer.from(plain(i))
    next.write(digestOf(chain.at(-1)!), 5, 'binary')
    chain.push(next)
  }
  const stream = new MerkleStream()
  for (let leaf = 0; leaf < BLOCK; leaf++) stream.add(leaf ? digestOf(Buffer.from(`${leaf}`)) : digestOf(chain[0]!), leaf === 0)
  const bump = [...stream.proofs(800_000)][0]!.proof
  const members = chain.flatMap((tx, n) => [tx, n ? Buffer.of(0) : Buffer.of(1, 0)])
  return Buffer.concat([Buffer.from('0100beef01', 'hex'), bump, varint(chain.length), ...members])
}
