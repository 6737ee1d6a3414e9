import { hash } from 'node:crypto'
import { varint } from '../../shared/transaction/data.ts'
import { Lacking, type RegtestNode, regtestNode } from '../bitcoin/node.ts'

/** What an unspent output of these benches pays to: whoever spends it need not sign (OP_TRUE). */
const ANYONE = '51'
/** What each transaction of a bench pays, and so its fee, satoshis. */
const FEE = 500

/** Runs with a node, which ends afterwards. @returns why there is none, if so */
export async function withNode<T>(work: (node: RegtestNode) => Promise<T>): Promise<{ result: T } | { lacks: string }> {
  let node: RegtestNode
  try {
    node = await regtestNode()
  } catch (error) {
    if (!(error instanceof Lacking)) throw error
    return { lacks: `There is no Bitcoin node here: ${error.message}.` }
  }
  try {
    return { result: await work(node) }
  } finally {
    await node.remove()
  }
}

/** So many transactions, as hex, that the node takes in any order. @param scriptOf what transaction i pays to (hex) */
export async function unsent(node: RegtestNode, count: number, scriptOf: (i: number) => string): Promise<{ hex: string; txid: string }[]> {
  const source = await node.fund(ANYONE, (count + 1) * 2 * FEE + count * 40)
  const fan = transaction(source, new Array(count).fill({ satoshis: 2 * FEE, script: ANYONE }))
  await node.rpc('sendrawtransaction', fan.hex, true)
  await node.generate(1)
  return Array.from({ length: count }, (_, vout) => transaction({ txid: fan.txid, vout }, [{ satoshis: FEE, script: scriptOf(vout) }]))
}

function transaction(input: { txid: string; vout: number }, outputs: { satoshis: number; script: string }[]) {
  const vout = Buffer.alloc(4)
  vout.writeUInt32LE(input.vout)
  const parts = [
    Buffer.from('0100000001', 'hex'),
    Buffer.from(input.txid, 'hex').reverse(),
    vout,
    Buffer.from('00ffffffff', 'hex'),
    varint(outputs.length),
    ...outputs.map(({ satoshis, script }) => {
      const amount = Buffer.alloc(8)
      amount.writeBigUInt64LE(BigInt(satoshis))
      return Buffer.concat([amount, varint(script.length / 2), Buffer.from(script, 'hex')])
    }),
    Buffer.alloc(4),
  ]
  const bytes = Buffer.concat(parts)
  return {
    hex: bytes.toString('hex'),
    txid: hash('sha256', hash('sha256', bytes, 'buffer'), 'buffer')
      .reverse()
      .toString('hex'),
  }
}

/** A P2PKH script of nobody's, by its number. */
export function scriptNumber(i: number): string {
  return `76a914${i.toString(16).padStart(40, '0')}88ac`
}
