import { ChainFilter, type FilterConfig, type Watch } from '../chain/filter.ts'
import { OverpoolError } from '../errors.ts'
import type { TxEvent } from '../ledger/event.ts'

/**
 * A secret is named, never written into a config: by the environment variable or the file that holds it; on AWS by the name, or the complete ARN, of a secret in Secrets Manager
 * that holds it as plain text.
 */
export type SecretPlace = { env: string } | { file: string } | { secret: string }

/** A node that is reached by its RPC. */
export interface NodePlace {
  /** its RPC address, such as `http://127.0.0.1:8332` */
  node: string
  user?: string
  password?: SecretPlace
}

/**
 * A function of the user's own that hands transactions to the network. `tx` is hex. The list is in order: each comes after those that it spends. When it resolves, all of them
 * count as sent. When it throws, all of them are sent again later. An error with `final: true` says that the network will never take them; its `reason`, or else its message, is
 * kept as the reason.
 */
export type OwnService = (transactions: { tx: string; txid: string }[]) => unknown

/** Something that takes transactions to the network. */
export type BroadcastPlace = { arc: string; apiKey?: SecretPlace } | { arcade: string; apiKey?: SecretPlace } | NodePlace | OwnService

/** Something that the machine reads the chain from. */
export type ChainPlace =
  | (NodePlace & {
      /** the node's ZMQ address, such as `tcp://127.0.0.1:28332`: it says at once when to look; without it the node is asked every few seconds */
      zmq?: string
    })
  /** public services: headers from WhatsOnChain, transactions from JungleBus */
  | { services: true }
  /** a folder of raw blocks */
  | { blocks: string }

/** A network of Bitcoin. */
export type Network = 'main' | 'test' | 'regtest'

/** How the machine takes part in Bitcoin. */
export interface BitcoinSettings {
  network: Network
  /** what takes transactions to the network: the first that takes one counts. Default on the main network: Arcade, then the public ARC endpoints; elsewhere the nodes of `chain` */
  broadcast?: BroadcastPlace[]
  /** what the chain is read from: the first one that answers. Without it the machine believes what services say, and calls nothing proven */
  chain?: ChainPlace[]
  /** the public https address of this machine's door: services call back there. Without it they are asked; a machine on AWS knows its own address */
  callbacks?: string
}

/** Whether payments are broadcast as soon as they are in the pool: never (default), always, or as the function says. */
export type CommitPolicy = 'never' | 'always' | ((event: TxEvent) => unknown)

/** What makes a pool's entries come from the chain. */
export interface GridSettings {
  chain: {
    /** the height of the first block, or 'now': the blocks after the newest. Counts when the pool begins, not later */
    from?: number | 'now'
    /** also transactions that are in no block yet, default true */
    mempool?: boolean
    /** which transactions; without a filter all of them */
    filter?: FilterConfig
  }
}

/** The public endpoints on the main network, for a config that names none. Those that need a key are not among them. */
const PUBLIC: BroadcastPlace[] = [{ arcade: 'https://arcade-us-1.bsvb.tech' }, { arc: 'https://arc.gorillapool.io' }]

/** What takes transactions to the network, in the order in which it is tried. None: the machine broadcasts nothing. */
export function broadcastPlaces({ network, broadcast, chain = [] }: BitcoinSettings): BroadcastPlace[] {
  const nodes = chain.flatMap((place) => ('node' in place ? [place] : []))
  return broadcast ?? (network === 'main' ? [...nodes, ...PUBLIC] : nodes)
}

/** Whether the machine takes transactions to the network. */
export function isBroadcasting(bitcoin: BitcoinSettings | undefined): boolean {
  return bitcoin !== undefined && broadcastPlaces(bitcoin).length > 0
}

/** Whether the machine sees all transactions of the chain, and so those that pay to the address of an invoice. Services have to be asked for each address. */
export function seesAll(bitcoin: Pick<BitcoinSettings, 'chain'> | undefined): boolean {
  return bitcoin?.chain?.some((place) => !('services' in place)) ?? false
}

/** The secrets that the settings name, each with its setting. */
export function secretPlaces(bitcoin: BitcoinSettings): { place: SecretPlace; where: string }[] {
  const of = (places: object[], list: string) =>
    places.flatMap((place, i) =>
      (['apiKey', 'password'] as const).flatMap((key) => {
        const named = (place as { apiKey?: SecretPlace; password?: SecretPlace })[key]
        return named ? [{ place: named, where: `bitcoin.${list}[${i}].${key}` }] : []
      }),
    )
  return [...of(bitcoin.broadcast ?? [], 'broadcast'), ...of(bitcoin.chain ?? [], 'chain')]
}

/** The name of the built-in handler that hands transactions to the network. */
export const BROADCASTER = 'broadcaster'

/** Whether whole blocks are read: public services find only what they are asked for. */
function readsWholeBlocks({ chain = [] }: BitcoinSettings): boolean {
  return chain.some((place) => !('services' in place))
}

/** Refuses a grid that the sources of the chain cannot fill. @throws OverpoolError BAD_CONFIG */
export function checkFilled(bitcoin: BitcoinSettings | undefined, { chain: { filter } }: GridSettings, where: string): void {
  if (!bitcoin?.chain?.length || readsWholeBlocks(bitcoin)) return
  const asked = filter && (['addresses', 'scripts', 'outpoints'] as const).some((key) => filter[key]?.length)
  if (asked && !filter.prefixes && !filter.match) return
  throw wrong(
    `${where}.grid.chain needs whole blocks, and { services: true } gives none: name a node or a folder of blocks in bitcoin.chain, or let the filter have addresses, scripts or outpoints alone`,
  )
}

const KEYS = new Set(['network', 'broadcast', 'chain', 'callbacks'])
const NETWORKS = ['main', 'test', 'regtest']

/** Checks the settings, or throws BAD_CONFIG. */
export function checkBitcoin(bitcoin: BitcoinSettings): BitcoinSettings {
  if (typeof bitcoin !== 'object' || bitcoin === null) throw wrong("`bitcoin` is an object, such as { network: 'main' }")
  for (const key of Object.keys(bitcoin))
    if (!KEYS.has(key)) throw wrong(`there is no setting \`bitcoin.${key}\`; there are ${[...KEYS].sort().join(', ')}`)
  const { network, broadcast = [], chain = [], callbacks } = bitcoin
  if (!NETWORKS.includes(network)) throw wrong(`bitcoin.network is ${NETWORKS.map((name) => `'${name}'`).join(', ')}`)
  if (!Array.isArray(broadcast)) throw wrong('bitcoin.broadcast is a list')
  for (const [i, place] of broadcast.entries()) checkPlace(place, `bitcoin.broadcast[${i}]`, ['arc', 'arcade', 'node'])
  if (!Array.isArray(chain)) throw wrong('bitcoin.chain is a list')
  for (const [i, place] of chain.entries()) checkPlace(place, `bitcoin.chain[${i}]`, ['node', 'services', 'blocks'])
  if (callbacks !== undefined && !(typeof callbacks === 'string' && URL.parse(callbacks)?.protocol === 'https:'))
    throw wrong('bitcoin.callbacks is the https address of this machine, such as https://pay.example')
  return bitcoin
}

/** The settings that go with each kind of place. */
const OF_PLACE: Record<string, string[]> = {
  arc: ['apiKey'],
  arcade: ['apiKey'],
  node: ['user', 'password'],
  services: [],
  blocks: [],
}

/** A node's publisher has a TCP address. */
const ZMQ = /^tcp:\/\/[^\s/:]+:\d{1,5}$|^tcp:\/\/\[[\da-f:.]+\]:\d{1,5}$/i

function checkPlace(place: object, where: string, kinds: string[]): void {
  if (typeof place === 'function' && kinds.includes('arc')) return
  if (typeof place !== 'object' || place === null) throw wrong(`${where} is an object with ${kinds.join(', or ')}`)
  const found = kinds.filter((kind) => kind in place)
  const [kind] = found
  if (kind === undefined || found.length > 1) throw wrong(`${where} has one of ${kinds.join(', ')}`)
  for (const [key, value] of Object.entries(place)) {
    const known = [...OF_PLACE[kind]!, ...(kind === 'node' && kinds.includes('blocks') ? ['zmq'] : [])]
    if (key !== kind && !known.includes(key))
      throw wrong(`${where} has no setting ${key}; with ${kind} there are ${known.join(', ') || 'none'}`)
    if (key === 'zmq' && !ZMQ.test(String(value)))
      throw wrong(`${where}.zmq is the address that the node publishes at, such as tcp://127.0.0.1:28332`)
    if (key === 'apiKey' || key === 'password') checkSecretPlace(value, `${where}.${key}`)
    else if (key === 'services' ? value !== true : typeof value !== 'string' || !value)
      throw wrong(`${where}.${key} is ${key === 'services' ? 'true' : 'a text'}`)
  }
  const { [kind]: url } = place as Record<string, unknown>
  if (['arc', 'arcade', 'node'].includes(kind) && !['http:', 'https:'].includes(URL.parse(String(url))?.protocol ?? ''))
    throw wrong(`${where}.${kind} is an http or https address`)
}

/** Checks that a setting says where a secret is. @throws OverpoolError BAD_CONFIG */
export function checkSecretPlace(value: unknown, where: string): void {
  const [[key, name] = [], ...more] = typeof value === 'object' && value !== null ? Object.entries(value) : []
  if (more.length || !['env', 'file', 'secret'].includes(key ?? '') || typeof name !== 'string' || !name)
    throw wrong(
      `${where} says where the secret is: { env: 'NAME' }, { file: 'path' }, or on AWS { secret: 'name' }. It never stands in the config itself`,
    )
}

/** Checks a pool's `commit`, or throws BAD_CONFIG. */
export function checkCommit(commit: unknown, where: string): void {
  if (commit !== 'never' && commit !== 'always' && typeof commit !== 'function')
    throw wrong(`${where}.commit is 'never', 'always' or a function of the event`)
}

/** Checks a pool's `grid`, or throws BAD_CONFIG. */
export function checkGrid(grid: GridSettings, where: string): void {
  const chain = grid?.chain
  if (typeof chain !== 'object' || chain === null) throw wrong(`${where}.grid is { chain: { … } }`)
  for (const key of Object.keys(chain))
    if (!['from', 'mempool', 'filter'].includes(key))
      throw wrong(`there is no setting \`${where}.grid.chain.${key}\`; there are filter, from, mempool`)
  const { from = 'now', mempool = true } = chain
  if (from !== 'now' && !(Number.isSafeInteger(from) && from >= 0)) throw wrong(`${where}.grid.chain.from is 'now' or a height: 0, 1, 2 …`)
  if (typeof mempool !== 'boolean') throw wrong(`${where}.grid.chain.mempool is true or false`)
  if (chain.filter !== undefined) new ChainFilter(chain.filter, `${where}.grid.chain.filter`) // throws what is wrong
}

/** Checks a pool's `watch`, or throws BAD_CONFIG. */
export function checkWatch(watch: Watch, where: string): void {
  for (const key of ['prefixes', 'match'])
    if (Object.hasOwn(Object(watch), key)) throw wrong(`there is no setting \`${where}.${key}\`; there are addresses, outpoints, scripts`)
  new ChainFilter(watch, where) // throws what is wrong
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `the config is wrong: ${what}`)
}
