import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { Transaction } from '@bsv/sdk'
import { invoicePage, invoicePageHeaders } from '../../functions/payments/invoice-page/page.ts'
import type { InvoiceView } from '../../shared/invoice/view.ts'
import { viewOf } from './views.ts'

/** Whether the shop sends what happens: 'kept' stands for a proxy that waits for the end of an answer before it passes it on. */
type Events = 'sent' | 'kept' | 'none'

/** A host of one invoice, with the routes that the page uses. A payment counts if it pays each output. */
export class Shop implements AsyncDisposable {
  view: InvoiceView
  /** bodies of the payments that came */
  readonly payments: { transaction: number[]; merchantData: string }[] = []
  /** statuses of the next answers to payments, instead of the right one; 0 breaks the connection off */
  readonly failures: number[] = []
  readonly #server = createServer((request, response) => void this.#answer(request, response))
  readonly #listeners = new Set<ServerResponse>()
  readonly #events: Events

  private constructor(events: Events) {
    this.#events = events
    this.view = viewOf('open')
  }

  static async open({ events = 'sent', ...more }: Partial<InvoiceView> & { events?: Events } = {}): Promise<Shop> {
    const shop = new Shop(events)
    shop.#server.listen(0, '127.0.0.1')
    await once(shop.#server, 'listening')
    const url = `http://localhost:${(shop.#server.address() as AddressInfo).port}/coffee/9x2Yk0mS3vQm1hK7pWc4Zg`
    shop.view = viewOf('open', url, { createdAt: Date.now(), expiresAt: Date.now() + 15 * 60_000, ...more })
    return shop
  }

  /** how many pages are told what happens */
  get listeners(): number {
    return this.#listeners.size
  }

  /** Something happens to the invoice. */
  become(view: Partial<InvoiceView>): void {
    this.view = { ...this.view, ...view }
    for (const listener of this.#listeners) this.#send(listener)
  }

  /** It is paid, by whatever way. */
  bePaid(txid = 'ab'.repeat(32)): void {
    this.become({ state: 'paid', received: this.view.due, payment: { txid, seq: 7, status: 'sent', at: Date.now() } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(this.view.url)
    const { method, url } = request
    if (method === 'POST' && url === pathname) return this.#take((await json(request)) as Shop['payments'][number], response)
    if (url === `${pathname}/state`) response.setHeader('content-type', 'application/json').end(JSON.stringify(this.view))
    else if (url === `${pathname}/events` && this.#events !== 'none') this.#listen(response)
    else if (url !== pathname) response.writeHead(404).end()
    else response.writeHead(200, invoicePageHeaders(this.view)).end(invoicePage(this.view, { events: this.#events !== 'none' }))
  }

  #take(payment: Shop['payments'][number], response: ServerResponse): void {
    const failure = this.failures.shift()
    if (failure === 0) response.destroy()
    else {
      this.payments.push(payment)
      const [status, memo] = failure === undefined ? this.#check(payment.transaction) : [failure, 'The payment could not be taken.']
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ memo, error: status === 200 ? 0 : 1 }))
    }
  }

  #check(bytes: number[]): [number, string] {
    const transaction = Transaction.fromAtomicBEEF(bytes)
    const paid = transaction.outputs.map(({ lockingScript, satoshis }) => `${lockingScript.toHex()} ${satoshis}`)
    if (!this.view.outputs.every(({ script, satoshis }) => paid.includes(`${script} ${satoshis}`)))
      return [422, 'The transaction pays nothing that was asked for.']
    this.bePaid(transaction.id('hex'))
    return [200, 'Paid']
  }

  #listen(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (this.#events === 'kept') return
    this.#listeners.add(response)
    response.once('close', () => this.#listeners.delete(response))
    this.#send(response)
  }

  #send(listener: ServerResponse): void {
    listener.write(`data: ${JSON.stringify(this.view)}\n\n`)
  }
}
