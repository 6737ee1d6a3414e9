import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HD } from '@bsv/sdk'
import { type InvoiceCalls, Overpool, type PoolConfig } from '../../index.ts'
import { newInvoiceId } from '../../shared/invoice/invoice.ts'
import { tokenKeysIn, tokenOf } from '../../shared/invoice/token.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import type { AncestorTransaction } from '../../shared/machine/pools.ts'
import { CloudMachine, INVOICE_KEYS } from '../machine/cloud.ts'
import { until } from '../machine/machine.ts'
import { type Answer, askAt } from './ask.ts'

// A door with the machine behind it, on both sides of the ports: a test that is written once says what both answer.

/** Wallets reach the embedded machine behind a proxy with TLS; a function URL says the same of itself. */
const PROXY = { host: 'pay.example', 'x-forwarded-proto': 'https' }
const XPUB = HD.fromSeed([...Buffer.alloc(32, 3)])
  .toPublic()
  .toString()
/** Keys of `merchantData`, as they follow on one another. */
const KEYS = ['07', '5a', 'c3'].map((byte) => byte.repeat(32))

export type Pools = Record<string, PoolConfig>

export abstract class Side implements AsyncDisposable {
  /** what the handler has got */
  readonly heard: TxEvent[] = []
  abstract readonly invoice: InvoiceCalls
  /** Sends one request, byte for byte. */
  abstract ask(method: string, path: string, body?: string | Uint8Array, headers?: Record<string, string>): Promise<Answer>
  abstract read(path: string): Promise<TxEvent[]>
  abstract ancestors(options: { path: string; hash: string }): Promise<AncestorTransaction[]>
  /** Puts a newer key of `merchantData` before the one that signs. Each side knows the former one as well. */
  abstract rotate(): Promise<void>
  abstract [Symbol.asyncDispose](): Promise<void>

  /** The entries of this kind, as soon as there is one. */
  async entriesOf(path: string, isOne: (entry: TxEvent) => boolean): Promise<TxEvent[]> {
    return until(
      async () => (await this.read(path)).filter(isOne),
      ({ length }) => length > 0,
    )
  }
}

class Embedded extends Side {
  readonly #dir = mkdtempSync(join(tmpdir(), 'overpool-side-'))
  readonly #pools: Pools
  #machine!: Overpool
  #url = ''
  #rotations = 0

  static async open(pools: Pools): Promise<Embedded> {
    const side = new Embedded(pools)
    await side.#open()
    return side
  }

  private constructor(pools: Pools) {
    super()
    this.#pools = pools
  }

  async #open(): Promise<void> {
    this.#machine = new Overpool({ dir: this.#dir, receive: XPUB, url: 'https://pay.example' })
    this.#machine.on('tx', (e) => void this.heard.push(e))
    for (const [path, settings] of Object.entries(this.#pools))
      this.#url = new URL((await this.#machine.create({ path, port: 0, ...settings })).url!).origin
  }

  get invoice(): InvoiceCalls {
    return this.#machine.invoice
  }

  ask(method: string, path: string, body?: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
    return askAt(this.#url, method, path, body, { ...PROXY, ...headers })
  }

  read(path: string): Promise<TxEvent[]> {
    return Array.fromAsync(this.#machine.read({ path }))
  }

  ancestors(options: { path: string; hash: string }): Promise<AncestorTransaction[]> {
    return this.#machine.ancestors(options)
  }

  async rotate(): Promise<void> {
    await this.#machine.close()
    const newest = KEYS.slice(1, ++this.#rotations + 1).reverse()
    writeFileSync(join(this.#dir, 'invoice-keys'), newest.join('\n'))
    await this.#open()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine.close()
    rmSync(this.#dir, { recursive: true })
  }
}

class OnAws extends Side {
  #machine!: CloudMachine
  #rotations = 0

  static async open(pools: Pools): Promise<OnAws> {
    const side = new OnAws()
    const functions = { tx: (e: TxEvent) => void side.heard.push(e) }
    side.#machine = await CloudMachine.open(pools, { receive: XPUB, invoiceKeys: KEYS[0]!, functions })
    return side
  }

  get invoice(): InvoiceCalls {
    return this.#machine.pools.invoice
  }

  ask(method: string, path: string, body?: string | Uint8Array, headers?: Record<string, string>): Promise<Answer> {
    return this.#machine.knock(method, path, body, headers)
  }

  read(path: string): Promise<TxEvent[]> {
    return this.#machine.call('read', { path })
  }

  async ancestors(options: { path: string; hash: string }): Promise<AncestorTransaction[]> {
    return this.#machine.call('ancestors', options)
  }

  async rotate(): Promise<void> {
    const newest = KEYS.slice(0, ++this.#rotations + 1).reverse()
    const secret = newest.slice(0, 2).join('\n')
    this.#machine.emulators.secrets[INVOICE_KEYS] = secret
    // Another instance of the door has made this request: so this one learns of the new key.
    const elsewhere = { id: newInvoiceId(), pool: 'coffee', outputs: [{ satoshis: 1, script: '51' }], createdAt: Date.now() }
    const { status } = await this.ask('GET', `/coffee/${tokenOf(elsewhere, tokenKeysIn(secret, INVOICE_KEYS))}`)
    if (status !== 200) throw new Error(`a request under the new key was answered with ${status}`)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#machine[Symbol.asyncDispose]()
  }
}

/** For `describe.each`. */
export const SIDES: [name: string, open: (pools: Pools) => Promise<Side>][] = [
  ['embedded', Embedded.open],
  ['on AWS', OnAws.open],
]
