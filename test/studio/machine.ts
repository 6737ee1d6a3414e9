import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Overpool } from '../../index.ts'
import { keepStudioToken, studioUrl } from '../../local/studio.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import { dataTransaction } from '../../shared/transaction/index.ts'

/** Text that would do harm if it became markup. */
export const HOSTILE = `</main><script>document.title='taken over'</script><img src=x onerror="document.title='taken over'">\u202e"'&lt;`

/** What the handler of the tests posts, as the memo says. It fails with entries whose memo begins with `fail`. */
async function consequences({ payment: { memo = '' }, path }: TxEvent, pools: Pools): Promise<void> {
  if (path === 'coffee' && memo.startsWith('order')) {
    await pools.post({ path: 'kitchen', payment: { transaction: dataTransaction('brew', memo), memo: `brew for ${memo}` } })
    await pools.post({ path: 'kitchen', payment: { transaction: dataTransaction('print', memo), memo: 'print a receipt' } })
  }
  if (memo.startsWith('brew')) await pools.post({ path: 'coffee', payment: { transaction: dataTransaction('ready', memo), memo: 'ready' } })
}

interface Handler {
  /** at entries whose memo begins with `fail` */
  fails: boolean
  held?: PromiseWithResolvers<void>
}

/** A real machine with two pools, a handler and the studio. */
export class StudiedMachine implements AsyncDisposable {
  readonly dir: string
  readonly pools: Overpool
  /** the address of the door, and of the studio with its token */
  readonly url: string
  readonly studio: string
  readonly token: string
  readonly #handler: Handler

  static async open({
    port = 0,
    host,
    dir = mkdtempSync(join(tmpdir(), 'overpool-studio-')),
  }: {
    port?: number
    host?: string
    dir?: string
  } = {}) {
    const pools = new Overpool({ dir })
    const handler: Handler = { fails: true }
    pools.on('tx', async (event: TxEvent, given: Pools, state: HandlerState) => {
      const { memo = '' } = event.payment
      if (memo.startsWith('say')) console.log(memo)
      if (memo.startsWith('remember')) await state.set(memo.slice('remember '.length), { seq: event.seq, big: 12n })
      if (handler.fails && event.payment.memo?.startsWith('fail')) throw new Error(HOSTILE)
      if (event.payment.memo === 'hold') await handler.held?.promise
      await consequences(event, given)
    })
    await pools.create({ path: 'kitchen', port: false })
    const { url } = await pools.create({ path: 'coffee', port, ...(host && { host }), maxAttempts: 1, retryForMs: 0 })
    return new StudiedMachine(dir, pools, new URL(url!).origin, handler)
  }

  private constructor(dir: string, pools: Overpool, url: string, handler: Handler) {
    this.#handler = handler
    this.dir = dir
    this.pools = pools
    this.url = url
    this.token = keepStudioToken(dir)
    this.studio = studioUrl(url, this.token)
  }

  /** The handler is mended. */
  mend(): void {
    this.#handler.fails = false
  }

  /** The handler does not finish an entry whose memo is `hold`. @returns what lets it go on */
  hold(): () => void {
    this.#handler.held = Promise.withResolvers()
    return this.#handler.held.resolve
  }

  post(memo: string, text = memo): Promise<{ hash: string }> {
    return this.pools.post({ path: 'coffee', payment: { transaction: dataTransaction(text), memo } })
  }

  /** Asks the studio as its page does. */
  async ask<T>(name: string, body?: object, headers: OutgoingHttpHeaders = {}): Promise<T> {
    const { status, text } = await knock(`${this.url}/_/studio/api/${name}`, {
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
      headers: { authorization: `Bearer ${this.token}`, ...(body && WRITES), ...headers },
    })
    if (status !== 200) throw new Error(`${status} ${text}`)
    return JSON.parse(text) as T
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pools.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** The headers of a call that changes something. */
export const WRITES = { 'content-type': 'application/json', 'x-overpool-studio': '1' }

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

/** Sends a request with any headers: `fetch` would not send some. */
export function knock(
  url: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: OutgoingHttpHeaders; body?: string } = {},
) {
  return new Promise<Answer>((resolve, reject) => {
    const sent = httpRequest(url, { method, headers, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part) => (text += part))
      answer.on('end', () => resolve({ status: answer.statusCode!, headers: answer.headers, text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
