import { randomBytes } from 'node:crypto'
import { blockOf, entryBytes, newKeyPair, RawPeer } from '../../swarm/raw-peer.ts'
import { answer } from '../program.ts'

// Publishes a hypercore with large blocks of random bytes, which no machine would write.

const [bootstrap] = process.argv.slice(2)
const peer = new RawPeer({ network: { host: '127.0.0.1', bootstrap: [bootstrap!] } })

answer({
  async publish({ count, bytes }: { count: number; bytes: number }): Promise<string> {
    const publisher = await peer.publish(newKeyPair())
    for (let i = 0; i < count; i++) await publisher.append(blockOf(i, [entryBytes('', { tx: randomBytes(bytes) })]))
    return publisher.key
  },
  close: () => peer[Symbol.asyncDispose](),
})
