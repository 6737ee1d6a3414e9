import { expect, it } from 'vitest'
import type { Outgoing, Word } from '../../shared/broadcast/service.ts'
import { eachAfterItsParents, inPieces } from '../../shared/broadcast/wire.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'

/** A transaction with an output of so many satoshis, which spends the given ones. */
function transaction(satoshis: number, ...parents: Outgoing[]): Outgoing {
  const inputs = parents.map(({ txid }) =>
    Buffer.concat([Buffer.from(txid, 'hex').reverse(), Buffer.alloc(4), Buffer.of(0), Buffer.alloc(4, 0xff)]),
  )
  const output = Buffer.alloc(9)
  output.writeUInt32LE(satoshis)
  const tx = Buffer.concat([Buffer.of(1, 0, 0, 0, inputs.length), ...inputs, Buffer.of(1), output, Buffer.alloc(4)])
  return { tx, txid: scanTransaction(tx).txid }
}

const independent = Array.from({ length: 5 }, (_, n) => transaction(n + 1))
const sent = ({ txid }: Outgoing): Word => ({ txid, says: 'sent' })

/** Sends that end when the test says so. */
function held() {
  const running: { outgoing: Outgoing; end: (error?: Error) => void }[] = []
  const begun: Outgoing[] = []
  const send = (outgoing: Outgoing) => {
    begun.push(outgoing)
    return new Promise<Word>((resolve, reject) => {
      running.push({ outgoing, end: (error) => (error ? reject(error) : resolve(sent(outgoing))) })
    })
  }
  /** Ends one, and lets all begin that only waited for it. */
  const end = async (outgoing: Outgoing, error?: Error) => {
    running.find((one) => one.outgoing === outgoing)!.end(error)
    await new Promise(setImmediate)
  }
  return { begun, send, end }
}

it('transactions are sent a few at a time', async () => {
  const { begun, send, end } = held()
  const words = eachAfterItsParents(independent, 2, send)
  await new Promise(setImmediate)
  expect(begun).toEqual(independent.slice(0, 2))
  for (const one of independent) await end(one)
  expect(await words).toEqual(independent.map(sent))
})

it('a transaction waits for those of the list that it spends, and for no other', async () => {
  const [a, b] = independent as [Outgoing, Outgoing]
  const child = transaction(9, a, b)
  const grandchild = transaction(10, child)
  const stranger = transaction(11, transaction(12))
  const { begun, send, end } = held()
  const words = eachAfterItsParents([a, b, child, grandchild, stranger], 8, send)
  await new Promise(setImmediate)
  expect(begun).toEqual([a, b, stranger])
  await end(a)
  expect(begun).not.toContain(child)
  await end(b)
  expect(begun.at(-1)).toBe(child)
  await end(child)
  await end(grandchild)
  await end(stranger)
  expect(await words).toEqual([a, b, child, grandchild, stranger].map(sent))
})

it('the others are sent when one fails, and then its error is thrown', async () => {
  const begun: Outgoing[] = []
  const words = eachAfterItsParents(independent, 2, async (outgoing) => {
    begun.push(outgoing)
    if (outgoing === independent[1]) throw new Error('away')
    return sent(outgoing)
  })
  await expect(words).rejects.toThrow('away')
  expect(begun).toHaveLength(independent.length)
})

it('a list is cut into pieces by number and by bytes, and a long transaction goes alone', () => {
  const of = (bytes: number): Outgoing => ({ tx: new Uint8Array(bytes), txid: '' })
  const sizes = (bytes: number[], most: number, mostBytes: number) =>
    inPieces(bytes.map(of), most, mostBytes).map((piece) => piece.map(({ tx }) => tx.length))
  expect(sizes([1, 1, 1, 1, 1], 2, 100)).toEqual([[1, 1], [1, 1], [1]])
  expect(sizes([40, 60, 1, 200, 1, 1], 9, 100)).toEqual([[40, 60], [1], [200], [1, 1]])
  expect(sizes([], 2, 100)).toEqual([])
})
