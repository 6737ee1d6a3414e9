import { createReadStream } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { HEADER_BYTES, HeaderChain, readHeader } from '../../shared/chain/header.ts'
import { type Clock, systemClock } from '../../shared/clock.ts'
import type { Network } from '../../shared/config/bitcoin.ts'
import { closed, OverpoolError, reasonOf } from '../../shared/errors.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import { type ChainSource, type HeaderAt, type News, type Place, pollsOn, pollTip } from './source.ts'

export interface FolderSourceOptions {
  folder: string
  network: Network
  /** How often it is looked for new blocks. Default: every 10 s, on regtest every second */
  pollMs?: number
  /** Takes what an operator should know, a line each. */
  warn?: (line: string) => void
  clock?: Clock
}

/** What a node writes before each block in its files: the magic bytes of Bitcoin's beginning. (Its messages to other nodes have others today.) */
const MAGIC: Record<Network, string> = { main: 'f9beb4d9', test: '0b110907', regtest: 'fabfb5da' }
/** The magic, and the length as 32 bits. */
const RECORD_BYTES = 8
/** This length means that the true one follows, as 64 bits: a block of 4 GB or more. */
const LONG = 0xffffffff
/** What the genesis block names as the block before it. */
const NONE_BEFORE = '00'.repeat(32)
const CHUNK_BYTES = 256 * 1024

/** Where the bytes of a block are. */
interface Spot {
  file: string
  at: number
  length: number
}

/** A block that was read, with a height if its file's name says one. */
interface Found {
  hash: string
  previous: string
  header: Uint8Array
  height?: number
}

/**
 * A folder of raw blocks: a file `<height>-<hash>.bin` each, or the files `blk00000.dat` … of a node, also of one that runs. Their order does not matter: headers say which is the best chain.
 * The first block is the first of all, or the one with the least height in its name. A `.bin` must be whole when it gets its name: write it under another one, then rename it.
 */
export class FolderSource implements ChainSource {
  readonly name: string
  readonly #options: FolderSourceOptions
  readonly #pollMs: number
  readonly #clock: Clock
  readonly #closing = new AbortController()
  readonly #turns = oneAfterTheOther()
  /** how far each file was read */
  readonly #read = new Map<string, number>()
  readonly #spots = new Map<string, Spot>()
  /** blocks whose previous one is not there yet, by its hash */
  readonly #waiting = new Map<string, Found[]>()
  readonly #warned = new Set<string>()
  #first: number | undefined
  #chain: HeaderChain | undefined
  /** the hashes of the best chain, from the first block on */
  #best: string[] = []

  constructor(options: FolderSourceOptions) {
    this.name = `blocks in ${options.folder}`
    this.#options = options
    this.#pollMs = options.pollMs ?? pollsOn(options.network)
    this.#clock = options.clock ?? systemClock
  }

  async tip(): Promise<Place> {
    await this.#look()
    const hash = this.#best.at(-1)
    if (hash !== undefined) return { height: this.#first! + this.#best.length - 1, hash }
    const why =
      this.#spots.size === 0
        ? 'there is none yet'
        : 'it is not known at which height they begin: give the first one a name with its height, <height>-<hash>.bin'
    throw new OverpoolError('UNAVAILABLE', `no ${this.name} can be read: ${why}`, { retryable: true })
  }

  async headers(from: number, limit: number): Promise<HeaderAt[]> {
    await this.#look()
    const start = from - (this.#first ?? 0)
    if (start < 0) return []
    return Promise.all(this.#best.slice(start, start + limit).map((hash, i) => this.#header(hash, from + i)))
  }

  async headerOf(hash: string): Promise<HeaderAt | undefined> {
    await this.#look()
    const at = this.#chain?.get(hash)?.height ?? this.#first! + this.#best.indexOf(hash)
    return this.#best[at - this.#first!] === hash ? this.#header(hash, at) : undefined
  }

  async *block({ hash }: Place): AsyncGenerator<Uint8Array> {
    const spot = this.#spots.get(hash)
    if (spot === undefined) throw this.#lacks(hash)
    const { file, at, length } = spot
    let left = length
    try {
      for await (const chunk of createReadStream(this.#path(file), { start: at, end: at + length - 1, highWaterMark: CHUNK_BYTES })) {
        left -= chunk.length
        yield chunk
      }
    } catch (cause) {
      throw this.#lacks(hash, cause)
    }
    if (left > 0) throw this.#lacks(hash)
  }

  watch(hint: (news: News) => void, signal: AbortSignal): void {
    void pollTip(this, { pollMs: this.#pollMs, clock: this.#clock }, hint, AbortSignal.any([signal, this.#closing.signal]))
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#turns(async () => {})
  }

  /** Reads what is new in the folder. */
  #look(): Promise<void> {
    return this.#turns(async () => {
      if (this.#closing.signal.aborted) throw closed()
      const names = await readdir(this.#options.folder).catch((cause) => {
        throw new OverpoolError('UNAVAILABLE', `the folder ${this.#options.folder} cannot be read`, { cause, retryable: true })
      })
      for (const file of names.filter((name) => name.endsWith('.bin')).sort(byHeight))
        if (!this.#read.has(file)) await this.#readBlock(file)
      const dats = names.filter((name) => /^blk\d+\.dat$/.test(name)).sort()
      for (const [i, file] of dats.entries()) {
        const isOver = dats.slice(i + 1).some((later) => this.#read.has(later)) // a node begins a file when the one before it is full
        if (!isOver || !this.#read.has(file)) await this.#readRecords(file)
      }
      this.#begin()
    })
  }

  async #readBlock(file: string): Promise<void> {
    await this.#reading(file, async (handle) => {
      const { size } = await handle.stat()
      this.#read.set(file, size)
      const height = heightIn(file)
      this.#add({ file, at: 0, length: size }, await bytesAt(handle, 0, HEADER_BYTES), height)
    })
  }

  async #readRecords(file: string): Promise<void> {
    await this.#reading(file, async (handle) => {
      for (;;) {
        const record = this.#read.get(file) ?? 0
        let at = record + RECORD_BYTES
        const head = await bytesAt(handle, record, RECORD_BYTES + 8)
        if (head.length < RECORD_BYTES || head.readUInt32LE() === 0) return // a node makes its files longer than they need to be yet
        if (head.toString('hex', 0, 4) !== MAGIC[this.#options.network])
          throw new Error(`at byte ${record} there is no block of the network "${this.#options.network}"`)
        let length = head.readUInt32LE(4)
        if (length === LONG && head.length === RECORD_BYTES + 8) {
          length = Number(head.readBigUInt64LE(RECORD_BYTES))
          at += 8
        }
        const { size } = await handle.stat()
        if (at + length > size) return // it is being written
        const header = await bytesAt(handle, at, HEADER_BYTES)
        if (header.every((byte) => byte === 0)) return
        this.#read.set(file, at + length)
        this.#add({ file, at, length }, header)
      }
    })
  }

  /** A file that cannot be read is reported, and the others are read. */
  async #reading(file: string, read: (handle: FileHandle) => Promise<void>): Promise<void> {
    try {
      await this.#opened(file, read)
    } catch (error) {
      this.#warn(`${file}: ${reasonOf(error)}`)
    }
  }

  #add(spot: Spot, bytes: Buffer, height?: number): void {
    const { hash, previous, bytes: header } = readHeader(bytes)
    if (this.#spots.has(hash)) return
    this.#spots.set(hash, spot)
    const found: Found = {
      hash,
      previous,
      header,
      ...(height !== undefined && { height }),
      ...(previous === NONE_BEFORE && { height: 0 }),
    }
    if (this.#chain?.get(previous)) this.#attach(found)
    else this.#waiting.set(previous, [...(this.#waiting.get(previous) ?? []), found])
  }

  /** Begins the chain at the lowest block whose height is known. */
  #begin(): void {
    if (this.#chain !== undefined) return
    const named = [...this.#waiting.values()].flat().filter(({ height }) => height !== undefined)
    const first = named.sort((a, b) => a.height! - b.height!)[0]
    if (first === undefined) return
    this.#first = first.height!
    this.#chain = new HeaderChain({ start: { height: first.height!, header: first.header }, network: this.#options.network })
    this.#best = [first.hash]
    this.#attachAfter(first.hash)
  }

  #attach(found: Found): void {
    const next = [found]
    for (let one = next.pop(); one !== undefined; one = next.pop()) {
      try {
        const change = this.#chain!.add([one.header])
        if (change !== undefined) {
          this.#best.length = change.fork.height - this.#first! + 1
          for (const { hash } of change.added) this.#best.push(hash)
        }
      } catch (error) {
        this.#warn(`block ${one.hash}: ${reasonOf(error)}`)
        continue
      }
      next.push(...(this.#waiting.get(one.hash) ?? []))
      this.#waiting.delete(one.hash)
    }
  }

  #attachAfter(hash: string): void {
    const after = this.#waiting.get(hash) ?? []
    this.#waiting.delete(hash)
    for (const found of after) this.#attach(found)
  }

  async #header(hash: string, height: number): Promise<HeaderAt> {
    const { file, at } = this.#spots.get(hash)!
    try {
      return await this.#opened(file, async (handle) => ({ height, header: await bytesAt(handle, at, HEADER_BYTES) }))
    } catch (cause) {
      throw this.#lacks(hash, cause)
    }
  }

  async #opened<T>(file: string, read: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await open(this.#path(file))
    try {
      return await read(handle)
    } finally {
      await handle.close()
    }
  }

  #path(file: string): string {
    return join(this.#options.folder, file)
  }

  #lacks(hash: string, cause?: unknown): OverpoolError {
    return new OverpoolError('UNAVAILABLE', `block ${hash} is not, or no longer, among the ${this.name}`, { cause, retryable: true })
  }

  #warn(what: string): void {
    if (!this.#warned.has(what)) this.#options.warn?.(`${this.name}: ${what}`)
    this.#warned.add(what)
  }
}

/** The bytes there, fewer at the end of the file. */
async function bytesAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

function heightIn(file: string): number | undefined {
  const [, height] = /^(\d{1,9})-/.exec(file) ?? []
  return height === undefined ? undefined : Number(height)
}

function byHeight(one: string, other: string): number {
  return (heightIn(one) ?? 0) - (heightIn(other) ?? 0)
}
