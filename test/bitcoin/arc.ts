import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Transaction } from '@bsv/sdk'
import { scanTsc } from '../../shared/chain/merkle.ts'
import type { UsersNode } from './node.ts'

/** What the service is asked: to take a transaction, or what became of one. */
export interface Asked {
  how: 'send' | 'ask'
  txid: string
  /** how often it was asked so about this transaction before */
  before: number
  /** where it is to call back */
  callback?: { url: string; token: string }
}

/** An answer: a body under status 200, an HTTP status, or what else is done with the response. `undefined`: the truth. */
export type Distorted = object | number | ((response: ServerResponse) => void) | undefined

/** ARC's API over a real node, which tells the truth unless the test distorts it. */
export class ArcOverNode implements AsyncDisposable {
  readonly asked: Asked[] = []
  readonly #node: UsersNode
  readonly #distort: (asked: Asked) => Distorted
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error) => response.writeHead(500).end(String(error)))
  })
  url = ''

  static async over(node: UsersNode, distort: (asked: Asked) => Distorted = () => undefined): Promise<ArcOverNode> {
    const arc = new ArcOverNode(node, distort)
    arc.#server.listen(0, '127.0.0.1')
    await once(arc.#server, 'listening')
    arc.url = `http://127.0.0.1:${(arc.#server.address() as AddressInfo).port}`
    return arc
  }

  private constructor(node: UsersNode, distort: (asked: Asked) => Distorted) {
    this.#node = node
    this.#distort = distort
  }

  count(how: Asked['how'], txid: string): number {
    return this.asked.filter((one) => one.how === how && one.txid === txid).length
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    const header = (name: string) => request.headers[name] as string | undefined
    if (request.method === 'POST' && path === '/v1/tx') {
      const hex = (JSON.parse(await text(request)) as { rawTx: string }).rawTx
      const tx = hex.slice(8, 20) === '0000000000ef' ? Transaction.fromHexEF(hex) : Transaction.fromHex(hex)
      const [url, token] = [header('x-callbackurl'), header('x-callbacktoken')]
      const callback = url !== undefined && token !== undefined ? { callback: { url, token } } : {}
      this.#say(response, this.#note({ how: 'send', txid: tx.id('hex'), ...callback }), () => this.#send(tx))
    } else if (request.method === 'GET' && path.startsWith('/v1/tx/')) {
      const txid = path.slice('/v1/tx/'.length)
      this.#say(response, this.#note({ how: 'ask', txid }), () => this.truth(txid))
    } else response.writeHead(405).end()
  }

  #note(asked: Omit<Asked, 'before'>): Distorted {
    const whole = { ...asked, before: this.count(asked.how, asked.txid) }
    this.asked.push(whole)
    return this.#distort(whole)
  }

  #say(response: ServerResponse, distorted: Distorted, truth: () => Promise<object | number>): void {
    const end = (said: object | number) =>
      typeof said === 'number'
        ? response.writeHead(said, { 'content-type': 'application/json' }).end('{}')
        : response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said))
    if (typeof distorted === 'function') distorted(response)
    else if (distorted !== undefined) end(distorted)
    else void truth().then(end, (error) => response.writeHead(500).end(String(error)))
  }

  async #send(tx: Transaction): Promise<object | number> {
    const txid = tx.id('hex')
    await this.#node.rpc('sendrawtransaction', tx.toHex()).catch(() => {})
    const said = await this.truth(txid)
    return typeof said === 'number' ? { txid, txStatus: 'RECEIVED' } : said
  }

  /** What the node says of a transaction, in ARC's words. */
  async truth(txid: string): Promise<object | number> {
    const known = await this.#node.rpc<{ blockhash?: string }>('getrawtransaction', txid, true).catch(() => undefined)
    if (!known) return 404
    if (known.blockhash === undefined) return { txid, txStatus: 'SEEN_ON_NETWORK' }
    const { height } = await this.#node.rpc<{ height: number }>('getblockheader', known.blockhash)
    const bump = scanTsc(await this.#node.rpc('getmerkleproof2', known.blockhash, txid)).bump(height)
    const merklePath = Buffer.from(bump).toString('hex')
    return { txid, txStatus: 'MINED', blockHash: known.blockhash, blockHeight: height, merklePath }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await once(this.#server.close(), 'close')
  }
}
