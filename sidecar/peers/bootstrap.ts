import { lookup } from 'node:dns/promises'
import type DHT from 'hyperdht'

/** An address of a node, as a DHT takes it. */
interface Address {
  host: string
  port: number
}

/**
 * The bootstrap nodes, `host:port`, that answer `dht` now; all of them if none does. On a small network each query asks every bootstrap node, and waits some seconds for one
 * that is down: with one of three up, a first entry took more than 20 s.
 */
export async function answeringNodes(bootstrap: string[], dht: Pick<DHT, 'ping'>): Promise<string[]> {
  const isUp = await Promise.all(bootstrap.map((node) => answers(node, dht)))
  const answering = bootstrap.filter((_, i) => isUp[i])
  return answering.length ? answering : bootstrap
}

/** Asks once, for a second. */
async function answers(node: string, dht: Pick<DHT, 'ping'>): Promise<boolean> {
  try {
    const { host, port } = addressOf(node)
    const { address } = await lookup(host, { family: 4 })
    await dht.ping({ host: address, port }, { retry: false })
    return true
  } catch {
    return false
  }
}

/** The address of `host:port`; of `address@host:port`, as the nodes of the public DHT are named, the address. */
export function addressOf(node: string): Address {
  const [host = '', port] = node.split(':')
  return { host: host.split('@')[0]!, port: Number(port) }
}
