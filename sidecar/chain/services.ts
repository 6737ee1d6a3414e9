import { hash } from 'node:crypto'
import type { ChainFilter, FilterConfig, Watch } from '../../shared/chain/filter.ts'
import { HEADER_BYTES, type Header, readHeader } from '../../shared/chain/header.ts'
import { assertProves, type MerkleProof, scanBump, scanTsc } from '../../shared/chain/merkle.ts'
import { type Clock, systemClock, unlessAborted } from '../../shared/clock.ts'
import { closed, OverpoolError } from '../../shared/errors.ts'
import { askHttp, unanswered } from '../../shared/http.ts'
import { type ScannedTransaction, scanTransaction, transactionFromHex } from '../../shared/transaction/index.ts'
import { type ChainSource, type HeaderAt, type News, type Place, type Proven, pollTip } from './source.ts'

export interface ServicesSourceOptions {
  network: 'main' | 'test'
  /** Headers: Arcade's chaintracks, such as https://…/chaintracks/v2. Without it, they come from WhatsOnChain, one by one */
  chaintracks?: string
  /** Transactions by address and by what they spend. Default: https://junglebus.gorillapool.io */
  junglebus?: string
  /** Proofs, and transactions by script. Default: https://api.whatsonchain.com/v1/bsv/<network> */
  whatsonchain?: string
  /** keys of the services that want one */
  keys?: { chaintracks?: string; junglebus?: string; whatsonchain?: string }
  /** default 10 s */
  pollMs?: number
  clock?: Clock
}

/** The most headers at once from chaintracks, and from WhatsOnChain, which takes three questions a second of those without a key. */
const MOST_HEADERS = { chaintracks: 2_000, whatsonchain: 10 }
/** The longest answer that is taken, bytes: a transaction. */
const MAX_ANSWER = 64 * 1024 * 1024
/** The most entries of a script's history in one answer of WhatsOnChain. */
const PAGE = 1_000

type Service = 'chaintracks' | 'junglebus' | 'whatsonchain'

/** How each service wants its key. */
const KEY_HEADERS: Record<Service, (key: string) => Record<string, string>> = {
  chaintracks: (key) => ({ authorization: `Bearer ${key}` }),
  junglebus: (key) => ({ token: key }),
  whatsonchain: (key) => ({ 'woc-api-key': key }),
}

/**
 * Public services: headers from Arcade's chaintracks or WhatsOnChain, transactions from JungleBus's REST and WhatsOnChain. They find transactions by address, by script and by what
 * they spend; a filter that looks into every transaction needs a source of whole blocks. Nothing proves that they leave out no transaction: only a whole block would.
 */
export class ServicesSource implements ChainSource {
  readonly name: string
  readonly #options: ServicesSourceOptions
  readonly #urls: Partial<Record<Service, string>>
  readonly #clock: Clock
  readonly #closing = new AbortController()

  constructor(options: ServicesSourceOptions) {
    const {
      network,
      chaintracks,
      junglebus = 'https://junglebus.gorillapool.io',
      whatsonchain = `https://api.whatsonchain.com/v1/bsv/${network}`,
    } = options
    this.#options = options
    this.#urls = {
      ...(chaintracks !== undefined && { chaintracks: based(chaintracks) }),
      junglebus: based(junglebus),
      whatsonchain: based(whatsonchain),
    }
    this.name = `services ${[...new Set(Object.values(this.#urls).map((url) => new URL(url).host))].join(', ')}`
    this.#clock = options.clock ?? systemClock
  }

  async tip(): Promise<Place> {
    if (this.#urls.chaintracks !== undefined) return placeOf('chaintracks', (await this.#json('chaintracks', '/tip')) ?? {})
    const { chain, blocks, bestblockhash } = (await this.#json('whatsonchain', '/chain/info')) ?? {}
    if (chain === this.#options.network) return placeOf('whatsonchain', { height: blocks, hash: bestblockhash })
    throw new OverpoolError(
      'BAD_CONFIG',
      `whatsonchain is asked on the network "${String(chain)}", and bitcoin.network is "${this.#options.network}"`,
    )
  }

  async headers(from: number, limit: number): Promise<HeaderAt[]> {
    const headers = this.#urls.chaintracks === undefined ? await this.#headersSingly(from, limit) : await this.#headersAtOnce(from, limit)
    const isChain = headers.every(({ previous }, i) => i === 0 || previous === headers[i - 1]!.hash)
    if (!isChain) throw wrong(this.name, 'headers that do not follow on one another: their chain may be changing')
    return headers.map(({ bytes }, i) => ({ height: from + i, header: bytes }))
  }

  async headerOf(hash: string): Promise<HeaderAt | undefined> {
    const found =
      this.#urls.chaintracks === undefined
        ? await this.#json('whatsonchain', `/block/${hash}/header`)
        : await this.#json('chaintracks', `/header/hash/${hash}`)
    if (found === undefined) return undefined
    const { height } = placeOf(this.name, found)
    const [best] = await this.headers(height, 1) // they also know blocks off the best chain
    return best !== undefined && readHeader(best.header).hash === hash ? best : undefined
  }

  async *matching(place: Place, filter: ChainFilter, wanted: FilterConfig): AsyncGenerator<Proven> {
    if (wanted.prefixes !== undefined || wanted.match !== undefined) {
      const why = 'a filter with `prefixes` or `match` looks into every transaction, and services do not give them all'
      throw new OverpoolError('BAD_CONFIG', `${why}: name a node or a folder of blocks in bitcoin.chain`)
    }
    const best = await this.headerOf(place.hash)
    if (best?.height !== place.height) throw wrong(this.name, `no block ${place.hash} at height ${place.height} of the best chain`)
    const header = readHeader(best.header)
    const proven: Proven[] = []
    for (const txid of await this.#candidates(place, wanted)) {
      const transaction = await this.#scanned(txid)
      if (transaction === undefined) throw wrong(this.name, `no transaction ${txid}, which they have named`)
      if (filter.matches(transaction)) proven.push({ tx: transaction.bytes, ...(await this.#proof(transaction, place, header)) })
    }
    yield* proven.sort((a, b) => a.index - b.index)
  }

  async transaction(txid: string): Promise<Uint8Array | undefined> {
    return (await this.#scanned(txid))?.bytes
  }

  watch(hint: (news: News) => void, signal: AbortSignal): void {
    const { pollMs = 10_000 } = this.#options
    void pollTip(this, { pollMs, clock: this.#clock }, hint, AbortSignal.any([signal, this.#closing.signal]))
  }

  async close(): Promise<void> {
    this.#closing.abort(closed())
  }

  async #headersAtOnce(from: number, limit: number): Promise<Header[]> {
    const bytes = await this.#ask('chaintracks', `/headers?height=${from}&count=${Math.min(limit, MOST_HEADERS.chaintracks)}`)
    if (bytes === undefined) return []
    if (bytes.length % HEADER_BYTES !== 0) throw wrong('chaintracks', `${bytes.length} bytes, which are no whole headers`)
    return Array.from({ length: bytes.length / HEADER_BYTES }, (_, i) =>
      readHeader(bytes.subarray(i * HEADER_BYTES, (i + 1) * HEADER_BYTES)),
    )
  }

  async #headersSingly(from: number, limit: number): Promise<Header[]> {
    const headers: Header[] = []
    while (headers.length < Math.min(limit, MOST_HEADERS.whatsonchain)) {
      const header = await this.#json('whatsonchain', `/block/${from + headers.length}/header`)
      if (header === undefined) break
      headers.push(readHeader(headerBytes(header)))
    }
    return headers
  }

  /** The txids that the services name for this block. */
  async #candidates({ height, hash }: Place, { addresses = [], scripts = [], outpoints = [] }: Watch): Promise<Set<string>> {
    const txids = new Set<string>()
    if (addresses.length + outpoints.length > 0) await this.#hasRead('junglebus', `/v1/block_header/get/${hash}`, hash)
    if (scripts.length > 0) await this.#hasRead('whatsonchain', `/block/${hash}/header`, hash)
    for (const address of addresses) {
      const entries = listOf('junglebus', await this.#parsed('junglebus', `/v1/address/get/${encodeURIComponent(address)}/${height}`))
      for (const { transaction_id, block_hash } of entries) if (block_hash === hash) txids.add(txidOf('junglebus', transaction_id))
    }
    for (const outpoint of outpoints) {
      const name = typeof outpoint === 'string' ? outpoint.replace(':', '_') : `${outpoint.txid}_${outpoint.vout}`
      const spender = await this.#ask('junglebus', `/v1/txo/spend/${name.toLowerCase()}`)
      if (spender === undefined || spender.length === 0) continue // it is not spent
      const by = txidOf('junglebus', spender.toString('hex'))
      const found = await this.#json('junglebus', `/v1/transaction/get/${by}`)
      if (found?.block_hash === hash) txids.add(by)
    }
    for (const script of scripts) for await (const txid of this.#history(script, height)) txids.add(txid)
    return txids
  }

  /** The transactions at a height that a script is in. */
  async *#history(script: string, height: number): AsyncGenerator<string> {
    const scriptHash = Buffer.from(hash('sha256', Buffer.from(script, 'hex'), 'buffer'))
      .reverse()
      .toString('hex')
    for (let token = ''; ; ) {
      const page = await this.#json(
        'whatsonchain',
        `/script/${scriptHash}/confirmed/history?order=asc&limit=${PAGE}&height=${height}${token}`,
      )
      if (page === undefined) return
      const entries = listOf('whatsonchain', page.result)
      for (const entry of entries) if (entry.height === height) yield txidOf('whatsonchain', entry.tx_hash)
      const isOver = entries.some((entry) => Number(entry.height) > height)
      if (isOver || typeof page.nextPageToken !== 'string' || page.nextPageToken === '') return
      token = `&token=${encodeURIComponent(page.nextPageToken)}`
    }
  }

  /** A service that has not read this block yet would name none of its transactions. */
  async #hasRead(service: Service, path: string, hash: string): Promise<void> {
    const header = await this.#json(service, path)
    if (header?.hash !== hash) throw wrong(service, `nothing of block ${hash} yet`)
  }

  async #scanned(txid: string): Promise<ScannedTransaction | undefined> {
    const transaction = await this.#firstOf<ScannedTransaction>([
      async () => {
        const bytes = await this.#ask('junglebus', `/v1/transaction/get/${txid}/bin`)
        return bytes && bytes.length > 0 ? scanTransaction(bytes) : undefined // it gives large ones empty
      },
      async () => {
        const hex = await this.#ask('whatsonchain', `/tx/${txid}/hex`)
        return hex && transactionFromHex(hex.toString('latin1').trim())
      },
    ])
    if (transaction === undefined || transaction.txid === txid) return transaction
    throw wrong(this.name, `the transaction ${transaction.txid} instead of ${txid}`)
  }

  async #proof(transaction: ScannedTransaction, { height, hash }: Place, header: Header): Promise<{ index: number; proof: Uint8Array }> {
    const { txid } = transaction
    const checked = (proof: MerkleProof) => ({ index: assertProves(proof, transaction, header), proof: proof.bump(height) })
    const proven = await this.#firstOf([
      async () => {
        const answer = await this.#parsed('whatsonchain', `/tx/${txid}/proof/tsc`) // one for each block that it is in
        const one = [answer].flat().find((tsc) => (tsc as { target?: unknown } | undefined | null)?.target === hash)
        return one ? checked(scanTsc(one)) : undefined
      },
      async () => {
        const bump = await this.#ask('junglebus', `/v1/transaction/proof/${txid}/bin`)
        return bump && bump.length > 0 ? checked(scanBump(bump)) : undefined
      },
    ])
    if (proven !== undefined) return proven
    throw wrong(this.name, `no proof that ${txid} is in block ${hash}`)
  }

  /** What the first of them gives that gives anything; if none does, the first failure. */
  async #firstOf<T>(ways: (() => Promise<T | undefined>)[]): Promise<T | undefined> {
    const failures: unknown[] = []
    for (const way of ways) {
      try {
        const found = await way()
        if (found !== undefined) return found
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
    return undefined
  }

  /** An object; undefined if there is no such thing. */
  async #json(service: Service, path: string): Promise<Record<string, unknown> | undefined> {
    const parsed = await this.#parsed(service, path)
    if (parsed === undefined || isObject(parsed)) return parsed
    throw wrong(service, 'no object')
  }

  async #parsed(service: Service, path: string): Promise<unknown> {
    const body = await this.#ask(service, path)
    if (body === undefined) return undefined
    try {
      const parsed: unknown = JSON.parse(body.toString())
      // Some versions of chaintracks wrap what they answer.
      return service === 'chaintracks' && isObject(parsed) && isObject(parsed.value) ? parsed.value : (parsed ?? undefined)
    } catch (cause) {
      throw wrong(service, 'what is no JSON', cause)
    }
  }

  /** The bytes of an answer; undefined if there is no such thing. */
  async #ask(service: Service, path: string): Promise<Buffer | undefined> {
    const key = this.#options.keys?.[service]
    const headers = key === undefined ? {} : KEY_HEADERS[service](key)
    const answer = await unlessAborted(
      this.#closing.signal,
      askHttp(service, `${this.#urls[service]}${path}`, { headers, maxBytes: MAX_ANSWER }),
    )
    if (answer.status === 404) return undefined
    if (answer.status !== 200) throw unanswered(service, answer)
    return answer.body
  }
}

/** The URL that paths are appended to. */
function based(text: string): string {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && !url.username && !url.password)
    return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
  throw new OverpoolError(
    'BAD_CONFIG',
    'the address of a service of the chain is a URL without a user and a password, such as https://junglebus.gorillapool.io',
  )
}

function placeOf(service: string, { height, hash }: Record<string, unknown>): Place {
  if (Number.isSafeInteger(height) && (height as number) >= 0) return { height: height as number, hash: txidOf(service, hash) }
  throw wrong(service, 'a block without a height')
}

function txidOf(service: string, text: unknown): string {
  if (typeof text === 'string' && /^[0-9a-f]{64}$/.test(text)) return text
  throw wrong(service, 'a hash that is not 64 hex digits')
}

function listOf(service: string, list: unknown): Record<string, unknown>[] {
  if (list === undefined || list === null) return []
  if (Array.isArray(list) && list.every(isObject)) return list
  throw wrong(service, 'no list where it should be one')
}

/** The 80 bytes that a header's fields stand for: if one is wrong, so is their proof of work. */
function headerBytes({ version, previousblockhash = '', merkleroot, time, bits, nonce }: Record<string, unknown>): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  bytes.writeUInt32LE(Number(version) >>> 0, 0)
  bytes.set(Buffer.from(String(previousblockhash), 'hex').subarray(0, 32).reverse(), 4)
  bytes.set(Buffer.from(String(merkleroot), 'hex').subarray(0, 32).reverse(), 36)
  bytes.writeUInt32LE(Number(time) >>> 0, 68)
  bytes.writeUInt32LE(Number.parseInt(String(bits), 16) >>> 0, 72)
  bytes.writeUInt32LE(Number(nonce) >>> 0, 76)
  return bytes
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function wrong(service: string, what: string, cause?: unknown): OverpoolError {
  return new OverpoolError('UNAVAILABLE', `${service} gives ${what}`, { cause, retryable: true })
}
