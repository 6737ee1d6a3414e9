import { randomBytes } from 'node:crypto'

/** A transaction with these outputs; it spends an output that nobody else does, or this one (txid as it stands in the transaction, and a number). */
export function paying(
  outputs: { satoshis: number; script: string }[],
  spends: Uint8Array = Buffer.concat([randomBytes(32), Buffer.alloc(4)]),
  sequence = 'ffffffff',
): Buffer {
  const list = outputs.map(({ satoshis, script }) => {
    const amount = Buffer.alloc(8)
    amount.writeBigUInt64LE(BigInt(satoshis))
    return Buffer.concat([amount, Buffer.of(script.length / 2), Buffer.from(script, 'hex')])
  })
  const begin = Buffer.from('0200000001', 'hex')
  return Buffer.concat([begin, spends, Buffer.of(0), Buffer.from(sequence, 'hex'), Buffer.of(list.length), ...list, Buffer.alloc(4)])
}
