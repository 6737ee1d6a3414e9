import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import {
  type CreateActionArgs,
  LockingScript,
  MerklePath,
  P2PKH,
  PrivateKey,
  ProtoWallet,
  SatoshisPerKilobyte,
  Transaction,
} from '@bsv/sdk'

const CALLS = { getVersion: 0, createAction: 0, signAction: 0 }
type Call = keyof typeof CALLS

/** A BRC-100 wallet that is called from elsewhere. */
export interface CalledWallet {
  /** @param args as the page sends them; its answers too are what JSON can hold */
  call(call: string, args: unknown): Promise<object>
}

/** A BRC-100 wallet with a coin in a block of its own making. It signs without asking anybody. */
export class SmallWallet implements CalledWallet {
  /** how often it was called */
  readonly calls = { ...CALLS }
  /** it gives the transaction unsigned first, and signs it when it is asked again */
  readonly #signsLater: boolean
  readonly #keys = new ProtoWallet(PrivateKey.fromRandom()).keyDeriver!
  readonly #unsigned = new Map<string, Transaction>()

  constructor({ signsLater = false } = {}) {
    this.#signsLater = signsLater
  }

  async call(call: string, args: unknown): Promise<object> {
    if (!(call in CALLS)) throw new Error(`this wallet has no ${call}`)
    this.calls[call as Call]++
    if (call === 'getVersion') return { version: 'small-1.0.0' }
    if (call === 'createAction') return this.#create(args as CreateActionArgs)
    const { reference } = args as { reference: string }
    return this.#sign(this.#unsigned.get(reference)!)
  }

  async #create({ description, outputs = [] }: CreateActionArgs): Promise<object> {
    for (const text of [description, ...outputs.map(({ outputDescription }) => outputDescription)]) {
      const { length } = new TextEncoder().encode(text)
      if (length < 5 || length > 50) throw new Error('descriptions have from 5 to 50 bytes')
    }
    const key = this.#keys.derivePrivateKey([0, 'coins'], '1', 'self')
    const transaction = new Transaction()
    transaction.addInput({ sourceTransaction: coin(key), sourceOutputIndex: 0, unlockingScriptTemplate: new P2PKH().unlock(key) })
    for (const { lockingScript, satoshis } of outputs)
      transaction.addOutput({ lockingScript: LockingScript.fromHex(lockingScript), satoshis })
    transaction.addOutput({ lockingScript: new P2PKH().lock(key.toAddress()), change: true })
    await transaction.fee(new SatoshisPerKilobyte(100))
    if (!this.#signsLater) return this.#sign(transaction)
    const reference = `reference ${this.#unsigned.size}`
    this.#unsigned.set(reference, transaction)
    return { signableTransaction: { tx: [], reference } }
  }

  async #sign(transaction: Transaction): Promise<object> {
    await transaction.sign()
    return { txid: transaction.id('hex'), tx: transaction.toAtomicBEEF() }
  }
}

/** Serves a wallet as those of a computer are served, on a free port. */
export async function serveWallet(wallet: CalledWallet): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer(async (request, response) => {
    response.setHeader('access-control-allow-origin', '*').setHeader('access-control-allow-headers', 'content-type')
    if (request.method === 'OPTIONS') {
      response.writeHead(204, { 'access-control-allow-private-network': 'true' }).end()
      return
    }
    response.setHeader('content-type', 'application/json')
    try {
      response.end(JSON.stringify(await wallet.call(request.url!.slice(1), await json(request))))
    } catch (error) {
      response.writeHead(400).end(JSON.stringify({ isError: true, message: (error as Error).message }))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** A transaction that is alone in its block, and pays to a key. */
function coin(key: PrivateKey): Transaction {
  const transaction = new Transaction(1, [], [{ lockingScript: new P2PKH().lock(key.toAddress()), satoshis: 1_000_000 }])
  transaction.merklePath = new MerklePath(1, [[{ offset: 0, hash: transaction.id('hex'), txid: true }]])
  return transaction
}
