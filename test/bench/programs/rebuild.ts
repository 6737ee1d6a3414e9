import { hash } from 'node:crypto'
import { join } from 'node:path'
import { parallel } from '../../../shared/aws/call.ts'
import { encodeBlock } from '../../../shared/ledger/block.ts'
import { encodeEntry } from '../../../shared/ledger/entry-codec.ts'
import type { EntryId } from '../../../shared/ledger/kinds.ts'
import { CoreStore, poolKeys } from '../../../sidecar/cores/core.ts'
import { IngressConsumer } from '../../../sidecar/writer/ingress-consumer.ts'
import type { AwsPlace } from '../../aws/clients.ts'
import { awsPorts } from '../../machine/aws-ports.ts'
import { answer } from '../program.ts'
import { plain } from '../transactions.ts'

// A sidecar with an empty disk: it builds a hypercore from the mirror.

const SEED = Buffer.alloc(32, 1)
const [place, dir] = process.argv.slice(2)
const { stores, ingress, clock } = await awsPorts(JSON.parse(place!) as AwsPlace)

answer({
  /** Fills a pool with `count` entries, `inBlock` in a block, all behind the checkpoint; returns the number of blocks and their bytes. */
  async fill({ pool, count, inBlock }: { pool: string; count: number; inBlock: number }) {
    const { key, discoveryKey } = poolKeys(SEED, pool)
    await stores.control.create({ kind: 'own', path: pool, key, discoveryKey, createdAt: Date.now() })
    const blocks = Math.ceil(count / inBlock)
    let bytes = 0
    const numbers = Array.from({ length: blocks }, (_, n) => n)
    await parallel(numbers, 16, async (n) => {
      const first = n * inBlock
      const entries = Array.from({ length: Math.min(inBlock, count - first) }, (_, i) => entryNumber(first + i))
      const block = encodeBlock(n, first, entries)
      bytes += block.bytes.length
      await stores.blocks.put(pool, block)
    })
    await stores.control.update(pool, { checkpoint: blocks })
    return { blocks, bytes }
  },
  /** Starts on this disk, and stops when the hypercore is complete; returns the ms until posts are taken, and until it is complete. */
  async build({ pool, disk }: { pool: string; disk: string }) {
    const began = performance.now()
    const cores = new CoreStore(join(dir!, disk), SEED)
    const report = () => {}
    const consumer = IngressConsumer.start({ stores, ingress, cores, ringers: () => [], clock, report })
    await consumer.writer(pool)
    const openMs = performance.now() - began
    await consumer.stop() // `stop` waits until the hypercore is complete
    const wholeMs = performance.now() - began
    await cores.close()
    return { openMs, wholeMs, rss: process.memoryUsage.rss() }
  },
  treeHash: async (pool: string) => (await stores.control.read(pool))?.treeHash,
})

function entryNumber(i: number): Uint8Array {
  const id = hash('sha256', String(i)) as EntryId
  return encodeEntry({ kind: 'tx', id, at: 1_795_507_200_000 + i, tx: plain(i), payment: {}, source: 'http', hops: 0 })
}
