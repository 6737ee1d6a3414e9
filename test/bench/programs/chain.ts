import { Transaction } from '@bsv/sdk'
import { BlockReader } from '../../../shared/chain/block.ts'
import { ChainFilter } from '../../../shared/chain/filter.ts'
import { MerkleStream } from '../../../shared/chain/merkle.ts'
import { varint } from '../../../shared/transaction/data.ts'
import { scanTransaction } from '../../../shared/transaction/index.ts'
import { coinbase, headerAfter, regtest } from '../../chain/blocks.ts'
import { answer } from '../program.ts'
import { plain } from '../transactions.ts'

// Reads assembled blocks. Their transactions are made while they are read, so a block of any size takes no memory here.

const CHUNK = 64 * 1024
/** One in so many transactions spends an output that the filter looks for. */
const WANTED_OF = 1_000
/** How many of each kind the filter looks for. */
const WATCHED = 1_000
/** Small transactions with a number inside, as bytes to copy. */
const SAMPLE = Buffer.from(plain(0))
const NUMBER_AT = 5

/** Transaction i of a block, in bytes that the next one overwrites. */
function transactionAt(i: number): Buffer {
  SAMPLE.writeUInt32LE(i, NUMBER_AT)
  return SAMPLE
}

/** The beginning of a block with so many transactions besides its coinbase. */
function beginOf(count: number): Buffer {
  const tree = new MerkleStream()
  const first = coinbase(1)
  tree.add(scanTransaction(first).digest)
  for (let i = 0; i < count; i++) tree.add(scanTransaction(transactionAt(i)).digest)
  const header = headerAfter(regtest(0), { root: Buffer.from(tree.root(), 'hex').reverse() })
  return Buffer.concat([header, varint(count + 1), first])
}

/** The rest of the block in chunks, cut without regard to the transactions. */
async function* chunksOf(begin: Buffer, count: number): AsyncGenerator<Buffer, void, void> {
  yield begin
  let chunk = Buffer.allocUnsafe(CHUNK)
  let size = 0
  for (let i = 0; i < count; i++) {
    const bytes = transactionAt(i)
    const fits = bytes.copy(chunk, size)
    size += fits
    if (size < CHUNK) continue
    yield chunk
    chunk = Buffer.allocUnsafe(CHUNK)
    size = bytes.copy(chunk, 0, fits)
  }
  yield chunk.subarray(0, size)
}

function filterOf(count: number): ChainFilter {
  const numbers = Array.from({ length: WATCHED }, (_, i) => i)
  return new ChainFilter({
    prefixes: ['19HxigV4QyBv3tHpQVcUEQyq1pzZVdoAut', '0x6d02', ['1PuQa7K62MiKCtssSLKy1kh56WWU7MtUR5', 'SET']],
    scripts: numbers.map((i) => `76a914${i.toString(16).padStart(40, '0')}88ac`),
    outpoints: [
      ...numbers.map((i) => `${i.toString(16).padStart(64, 'f')}:0`),
      ...Array.from({ length: Math.ceil(count / WANTED_OF) }, (_, i) => outpointOf(transactionAt(i * WANTED_OF))),
    ],
    addresses: ['1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', '12cbQLTFMXRnSzktFkuoG3eHoMeFtpTu3S'],
  })
}

/** The output that a transaction spends. */
function outpointOf(bytes: Uint8Array): string {
  const { txid, vout } = scanTransaction(bytes).readInputs().next().value!
  return `${txid}:${vout}`
}

async function read(chunks: AsyncIterable<Uint8Array>, filter: ChainFilter): Promise<number> {
  const reader = new BlockReader(chunks, { wanted: (transaction) => filter.matches(transaction) })
  let found = 0
  for await (const transactions of reader.transactions()) found += transactions.length
  for (const _ of reader.proofs(1)) found--
  if (found !== 0) throw new Error('a transaction has no proof')
  return reader.count
}

answer({
  /** Reads blocks of `count` transactions, and parses the same bytes with @bsv/sdk, by turns: transactions/s, and µs of the processor a transaction, of each round. */
  async rates({ count, rounds }: { count: number; rounds: number }) {
    const begin = beginOf(count)
    const chunks: Buffer[] = []
    for await (const chunk of chunksOf(begin, count)) chunks.push(chunk)
    const filter = filterOf(count)
    const bytes = Buffer.concat(chunks).subarray(begin.length)
    const ways = {
      ours: () => read(streamOf(chunks), filter),
      sdk: () => {
        for (let at = 0; at < bytes.length; at += SAMPLE.length)
          Transaction.fromBinary([...bytes.subarray(at, at + SAMPLE.length)]).id('hex')
        return count
      },
    }
    const seen = { ours: { rates: [] as number[], cpuUs: [] as number[] }, sdk: { rates: [] as number[], cpuUs: [] as number[] } }
    for (let round = -1; round < rounds; round++) {
      for (const name of ['ours', 'sdk'] as const) {
        const [start, cpu] = [performance.now(), process.cpuUsage()]
        const done = await ways[name]()
        const { user, system } = process.cpuUsage(cpu)
        if (round < 0) continue // the first warms up
        seen[name].rates.push((done / (performance.now() - start)) * 1_000)
        seen[name].cpuUs.push((user + system) / done)
      }
    }
    return seen
  },
  /** Reads one block of about so many bytes; its transactions/s, and the most resident memory before and while it is read. */
  async memory({ bytes }: { bytes: number }) {
    const count = Math.floor(bytes / SAMPLE.length)
    const begin = beginOf(count)
    const filter = filterOf(count)
    await read(chunksOf(beginOf(10_000), 10_000), filter) // warms up
    const before = process.memoryUsage.rss()
    let most = before
    async function* watched() {
      for await (const chunk of chunksOf(begin, count)) {
        most = Math.max(most, process.memoryUsage.rss())
        yield chunk
      }
    }
    const start = performance.now()
    await read(watched(), filter)
    return { rate: (count / (performance.now() - start)) * 1_000, before, most }
  },
})

async function* streamOf(chunks: Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  yield* chunks
}
