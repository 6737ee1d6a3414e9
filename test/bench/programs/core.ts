import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import Corestore from 'corestore'
import crypto from 'hypercore-crypto'
import DHT from 'hyperdht'
import Hyperswarm from 'hyperswarm'
import { answer } from '../program.ts'

// A bare reader of a hypercore: it fetches all blocks, and then reads each of them.

const [dir, bootstrap, key] = process.argv.slice(2)
const store = new Corestore(dir!)
const core = store.get({ key: Buffer.from(key!, 'hex') })
await core.ready()
const dht = new DHT({ host: '127.0.0.1', bootstrap: [bootstrap!] })
await dht.fullyBootstrapped()

answer({
  /** @returns ms until all blocks were fetched, and until all were read */
  async fetch(length: number): Promise<{ fetched: number; read: number }> {
    const swarm = new Hyperswarm({ dht, keyPair: crypto.keyPair(randomBytes(32)) })
    swarm.on('connection', (connection) => {
      connection.on('error', () => {})
      core.replicate(connection)
    })
    const start = performance.now()
    core.download({ start: 0, end: -1 })
    const discovery = swarm.join(core.discoveryKey, { server: false, client: true })
    while (!core.peers.length) {
      await Promise.race([new Promise<void>((resolve) => core.on('peer-add', resolve)), wait(200)])
      await discovery.refresh()
    }
    while (core.contiguousLength < length) await wait(5)
    const fetched = performance.now() - start
    for (let n = 0; n < length; n++) await core.get(n)
    return { fetched, read: performance.now() - start }
  },
})
