import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { NodeRpc } from '../../shared/chain/rpc.ts'
import { varint } from '../../shared/transaction/data.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Where setup.sh puts the node. */
const HOME = process.env.BSV_HOME ?? join(ROOT, '.bitcoin')
/** The URL of a node of the user's own, on regtest, with its user and password in it. */
export const OWN = process.env.BITCOIN_RPC_URL
/** The longest start and the longest end of a node, ms. */
const LONGEST_MS = 60_000
/** A node that has closed its connections in a crash has ended after this time, ms. */
const CRASH_MS = 5_000
const USER = 'overpool'

/** Coins of a block can be spent when 100 others are above it. */
const FIRST_BLOCKS = 101

/** What runs the node: it ends the node and removes its folder when its own standard input ends, as it does when the test process dies in any way. */
const GUARD = `
exec 3<&0
folder=$1; shift
"$@" < /dev/null 3<&- & node=$!
{ cat <&3 > /dev/null; kill -9 $node; rm -rf "$folder"; } > /dev/null 2>&1 & guard=$!
echo $node
wait $node; code=$?
kill $guard
exit $code`

/** This computer has no Bitcoin node and can't get one; the message says why. */
export class Lacking extends Error {}

export interface NodeOptions {
  /** mined at the start: 101, so that there are coins to spend. A node that is to follow another one mines none */
  blocks?: number
  /** lines for its bitcoin.conf, such as rest=0 */
  conf?: string[]
  /** with ZMQ: true */
  zmq?: boolean
}

/** A node of the user's own: no test stops it, and its chain is as long as it is. */
export class UsersNode {
  readonly url: string
  readonly user: string
  readonly password: string
  readonly #rpc: NodeRpc

  constructor(address: { url: string; user: string; password: string }) {
    this.url = address.url
    this.user = address.user
    this.password = address.password
    this.#rpc = new NodeRpc({ ...address, timeoutMs: LONGEST_MS })
  }

  rpc<T = unknown>(method: string, ...params: unknown[]): Promise<T> {
    return this.#rpc.call<T>(method, ...params)
  }

  /** Mines so many blocks; resolves to their hashes. */
  generate(count: number): Promise<string[]> {
    return this.rpc('generate', count)
  }

  /** Broadcasts a transaction that pays to an address of regtest or to a script (hex). */
  async fund(to: string, satoshis: number): Promise<{ txid: string; vout: number; hex: string }> {
    const script = isHex(to) ? to : (await this.rpc<{ scriptPubKey: string }>('validateaddress', to)).scriptPubKey
    const amount = Buffer.alloc(8)
    amount.writeBigUInt64LE(BigInt(satoshis))
    const unfunded = `010000000001${amount.toString('hex')}${varint(script.length / 2).toString('hex')}${script}00000000`
    const funded = await this.rpc<{ hex: string; changepos: number }>('fundrawtransaction', unfunded)
    const { hex } = await this.rpc<{ hex: string }>('signrawtransaction', funded.hex)
    const txid = await this.rpc<string>('sendrawtransaction', hex)
    return { txid, vout: funded.changepos === 0 ? 1 : 0, hex }
  }

  /** Resolves when this block is its tip. */
  async reaches(hash: string): Promise<void> {
    for (const end = performance.now() + LONGEST_MS; (await this.rpc('getbestblockhash')) !== hash; await wait(20))
      if (performance.now() > end) throw new Error(`the node does not reach block ${hash}`)
  }
}

/** A regtest node of the tests' own. */
export class RegtestNode extends UsersNode {
  readonly p2pPort: number
  /** tcp://…: its ZMQ publisher */
  readonly zmq: string
  /** its data folder; the chain is in regtest/ */
  readonly folder: string
  #process: { child: ChildProcess; pid: number } | undefined

  constructor({ rpcPort, zmqPort, p2pPort, conf = [], zmq = true }: { rpcPort: number; zmqPort: number; p2pPort: number } & NodeOptions) {
    const password = `secret-${Math.random().toString(36).slice(2)}`
    super({ url: `http://127.0.0.1:${rpcPort}`, user: USER, password })
    this.p2pPort = p2pPort
    this.zmq = `tcp://127.0.0.1:${zmqPort}`
    this.folder = mkdtempSync(join(tmpdir(), 'overpool-bitcoin-'))
    const topics = zmq ? ['rawtx', 'hashblock'].map((topic) => `zmqpub${topic}=${this.zmq}`) : []
    const network = ['regtest=1', 'server=1', 'listen=1', 'bind=127.0.0.1', `port=${p2pPort}`, 'dnsseed=0', 'discover=0', 'upnp=0']
    const rpc = [`rpcuser=${USER}`, `rpcpassword=${password}`, 'rpcbind=127.0.0.1', 'rpcallowip=127.0.0.1', `rpcport=${rpcPort}`, 'rest=1']
    const rules = [
      'genesisactivationheight=1', // the rules since 2020, from the first block on
      'disablesafemode=1', // after a deep fork it would refuse calls
      'checknonfinalfreq=200', // how often it looks whether a lock time has come, ms
      'whitelist=127.0.0.1',
      'excessiveblocksize=4294967296',
      'maxstackmemoryusageconsensus=0',
      'minminingtxfee=0.00000001',
      'txindex=1',
    ]
    const lines = [...conf, ...network, ...rpc, ...rules, ...topics] // the first of equal lines counts
    writeFileSync(join(this.folder, 'bitcoin.conf'), `${lines.join('\n')}\n`)
  }

  /** Starts it, also after `stop` and `kill`: the same ports, the same chain. Resolves when it takes calls. */
  async start(): Promise<void> {
    const program = [join(HOME, 'bin/bitcoind'), `-datadir=${this.folder}`, '-printtoconsole=0']
    const child = spawn('sh', ['-c', GUARD, 'sh', this.folder, ...program], { stdio: ['pipe', 'pipe', 'pipe'] })
    const [pid] = await once(child.stdout, 'data') // the guard prints it at once
    this.#process = { child, pid: Number(pid) }
    let said = ''
    child.stderr.on('data', (text) => {
      said += text
    })
    for (const end = performance.now() + LONGEST_MS; ; await wait(30)) {
      if (child.exitCode !== null) throw new Error(`the node has exited with ${child.exitCode}: ${said}`)
      try {
        await this.rpc('getblockcount')
        return
      } catch (error) {
        if (performance.now() > end) throw error
      }
    }
  }

  /** Ends it in good order. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** Has it write to its disk all that it knows, so that it knows its newest blocks also after `kill`. */
  async flush(): Promise<void> {
    await this.rpc('gettxoutsetinfo')
  }

  /** Ends it at once, as a power cut would. It may have forgotten its newest blocks when it starts again: it writes them to its disk now and then, and on `flush`. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /**
   * Whether a call has failed because the node has ended by itself: version 1.0.13 crashes now and then when it mines just after `invalidateblock`, while transactions come in.
   */
  async hasCrashed(): Promise<boolean> {
    const { child } = this.#process!
    if (child.exitCode === null) await once(child, 'exit', { signal: AbortSignal.timeout(CRASH_MS) }).catch(() => {})
    return child.exitCode !== null
  }

  /** Ends it, and removes its folder. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  /** Connects the two; resolves when they are. The one with less work then takes the other's chain. */
  async join(other: RegtestNode): Promise<void> {
    await this.rpc('addnode', `127.0.0.1:${other.p2pPort}`, 'onetry')
    await this.#peers(other, true)
  }

  /** Parts what `join` has connected. */
  async part(other: RegtestNode): Promise<void> {
    await this.rpc('disconnectnode', `127.0.0.1:${other.p2pPort}`)
    await this.#peers(other, false)
  }

  async #peers(other: RegtestNode, joined: boolean): Promise<void> {
    const has = async (node: RegtestNode) =>
      (await node.rpc<{ version: number }[]>('getpeerinfo')).some(({ version }) => version > 0) === joined
    for (const end = performance.now() + LONGEST_MS; !((await has(this)) && (await has(other))); await wait(20))
      if (performance.now() > end) throw new Error(`the nodes do not ${joined ? 'join' : 'part'}`)
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#process === undefined) return
    const { child, pid } = this.#process
    this.#process = undefined
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit')
      process.kill(pid, signal)
      await exited
    }
    child.stdin?.destroy()
  }
}

/** Starts a regtest node, which ends with this process at the latest. */
export async function regtestNode(options: NodeOptions = {}): Promise<RegtestNode> {
  await setUp()
  const [rpcPort, zmqPort, p2pPort] = await freePorts(3)
  const node = new RegtestNode({ rpcPort: rpcPort!, zmqPort: zmqPort!, p2pPort: p2pPort!, ...options })
  await node.start()
  const { blocks = FIRST_BLOCKS } = options
  if (blocks > 0) await node.generate(blocks)
  return node
}

/** A node of the user's own, with coins to spend. */
export async function usersNode(text: string): Promise<UsersNode> {
  const { origin, username, password } = new URL(text)
  const node = new UsersNode({ url: origin, user: decodeURIComponent(username), password: decodeURIComponent(password) })
  const { chain, blocks } = await node.rpc<{ chain: string; blocks: number }>('getblockchaininfo')
  if (chain !== 'regtest')
    throw new Error(`the node at BITCOIN_RPC_URL is on the network "${chain}": the tests mine, so they need one on regtest`)
  if (blocks < FIRST_BLOCKS) await node.generate(FIRST_BLOCKS - blocks)
  return node
}

let settingUp: Promise<void> | undefined

/** Downloads the node, once. */
function setUp(): Promise<void> {
  settingUp ??= promisify(execFile)('bash', [join(ROOT, 'test/bitcoin/setup.sh')], { env: { ...process.env, BSV_HOME: HOME } }).then(
    () => {},
    ({ stderr, message }) => {
      throw new Lacking(String(stderr).trim().split('\n').at(-1) || message)
    },
  )
  return settingUp
}

/** Free TCP ports, all different: each is held until all are found. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

function isHex(text: string): boolean {
  return /^(?:[0-9a-f]{2})+$/.test(text)
}
