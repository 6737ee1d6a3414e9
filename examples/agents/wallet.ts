import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Utils } from '@bsv/sdk'
import type { Stage, Wallet } from '../stage.ts'

/** What an agent's `overpool mcp` asks of a wallet to pay an invoice (BRC-100). */
interface Action {
  outputs: { lockingScript: string; satoshis: number }[]
}

/** Serves somebody's coin as wallets serve the programs of their computer: by HTTP. It broadcasts what it pays. The wallets of today do the same on the main chain. @returns its address */
export async function served(wallet: Wallet, stage: Stage): Promise<string> {
  const server = createServer(async (incoming, outgoing) => {
    outgoing.setHeader('content-type', 'application/json')
    try {
      if (incoming.url !== '/createAction') throw new Error('this wallet pays, and does nothing else')
      const { outputs } = JSON.parse(await textOf(incoming)) as Action
      const [output, ...others] = outputs
      if (!output || others.length) throw new Error('this wallet pays to one address')
      const transaction = await wallet.pay(addressOf(output.lockingScript), output.satoshis)
      await stage.broadcast(wallet, transaction)
      outgoing.end(JSON.stringify({ txid: transaction.id('hex'), tx: transaction.toAtomicBEEF(true) }))
    } catch (error) {
      outgoing.writeHead(400).end(JSON.stringify({ message: (error as Error).message }))
    }
  }).listen(0, '127.0.0.1')
  server.unref()
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function textOf(incoming: AsyncIterable<Buffer>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(incoming)).toString()
}

function addressOf(script: string): string {
  const [, hash] = /^76a914([0-9a-f]{40})88ac$/.exec(script) ?? []
  if (hash === undefined) throw new Error('this wallet pays to addresses')
  return Utils.toBase58Check(Utils.toArray(hash, 'hex'))
}
