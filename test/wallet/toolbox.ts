import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Beef, type ChainTracker, MerklePath, P2PKH, PrivateKey, PublicKey, Transaction, type WalletInterface } from '@bsv/sdk'
import { beforeAll, beforeEach } from 'vitest'
import { scanTsc } from '../../shared/chain/merkle.ts'
import { BRC29 } from '../../shared/paywall/payee.ts'
import type { UsersNode } from '../bitcoin/node.ts'
import type { CalledWallet } from '../page/wallet.ts'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
/** Who the wallet thinks that it works for. */
const ORIGINATOR = 'localhost'

/** The calls of BRC-100 that a payment needs. */
const CALLS = ['getVersion', 'getPublicKey', 'createAction', 'signAction'] as const
type Call = (typeof CALLS)[number]

/** Installs the wallet before the first test of a file or a `describe`. Where it cannot be had, each of the tests is skipped, with the reason. */
export function toolboxOrSkip(): void {
  let lacks: string | undefined
  beforeAll(async () => {
    if (isInstalled()) return
    // Its only install script would compile a driver of SQLite, and Node has one.
    const options = ['--ignore-scripts', '--loglevel=error', '--no-audit', '--no-fund']
    await promisify(execFile)('npm', ['ci', ...options], { cwd: FOLDER }).catch(({ stderr, message }) => {
      lacks = `@bsv/wallet-toolbox cannot be installed in test/wallet: ${String(stderr).trim().split('\n')[0] || message}`
    })
  }, 300_000)
  beforeEach(({ skip }) => {
    if (lacks !== undefined) skip(lacks)
  })
}

/** npm writes its list of what it has installed last. */
function isInstalled(): boolean {
  const [wanted, there] = ['package-lock.json', 'node_modules/.package-lock.json'].map((name) => `${FOLDER}${name}`)
  if (!existsSync(there!)) return false
  const packages = JSON.parse(readFileSync(there!, 'utf8')).packages
  return Object.entries<{ version: string }>(JSON.parse(readFileSync(wanted!, 'utf8')).packages).every(
    ([path, { version }]) => path === '' || packages[path]?.version === version,
  )
}

/** A wallet of @bsv/wallet-toolbox, over SQLite in memory. What it asks of the network, a regtest node answers. */
export class ToolboxWallet implements CalledWallet, AsyncDisposable {
  readonly wallet: WalletInterface
  /** how often it was called */
  readonly calls = Object.fromEntries(CALLS.map((call) => [call, 0])) as Record<Call, number>
  /** it gives the transaction unsigned first, and signs it when it is asked again */
  readonly #signsLater: boolean
  readonly #close: () => Promise<void>

  /** Opens one that has a coin. */
  static async funded(node: UsersNode, { satoshis = 1_000_000, signsLater = false } = {}): Promise<ToolboxWallet> {
    const { wallet, close } = await openToolbox(node)
    const funded = new ToolboxWallet(wallet, signsLater, close)
    await funded.#fund(node, satoshis)
    return funded
  }

  private constructor(wallet: WalletInterface, signsLater: boolean, close: () => Promise<void>) {
    this.wallet = wallet
    this.#signsLater = signsLater
    this.#close = close
  }

  async call(call: string, args: unknown): Promise<object> {
    if (!isCall(call)) throw new Error(`no payment needs ${call}`)
    this.calls[call]++
    const given = args as never
    if (call !== 'createAction' || !this.#signsLater) return this.wallet[call](given, ORIGINATOR)
    const { options, ...rest } = args as { options: object }
    return this.wallet.createAction({ ...rest, options: { ...options, signAndProcess: false } } as never, ORIGINATOR)
  }

  /** Somebody pays to it by BRC-29, in a block. */
  async #fund(node: UsersNode, satoshis: number): Promise<void> {
    const [derivationPrefix, derivationSuffix] = ['cHJlZml4', 'c3VmZml4']
    const sender = PrivateKey.fromRandom()
    const { publicKey: identity } = await this.wallet.getPublicKey({ identityKey: true })
    const key = PublicKey.fromString(identity).deriveChild(sender, `2-${BRC29}-${derivationPrefix} ${derivationSuffix}`)
    const { hex, txid, vout } = await node.fund(new P2PKH().lock(key.toAddress()).toHex(), satoshis)
    await node.generate(1)
    const transaction = Transaction.fromHex(hex)
    transaction.merklePath = MerklePath.fromHex((await proofOf(node, txid))!)
    const { accepted } = await this.wallet.internalizeAction({
      tx: transaction.toAtomicBEEF(),
      description: 'coins from the node',
      outputs: [
        {
          outputIndex: vout,
          protocol: 'wallet payment',
          paymentRemittance: { derivationPrefix, derivationSuffix, senderIdentityKey: sender.toPublicKey().toString() },
        },
      ],
    })
    if (!accepted) throw new Error('the wallet has not taken its coin')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
  }
}

function isCall(call: string): call is Call {
  return (CALLS as readonly string[]).includes(call)
}

async function openToolbox(node: UsersNode): Promise<{ wallet: WalletInterface; close: () => Promise<void> }> {
  const load = createRequire(`${FOLDER}package.json`)
  // Its main file loads servers, and dotenv, which it does not depend on.
  const part = (path: string) => load(`@bsv/wallet-toolbox/out/src/${path}.js`)
  const { Wallet } = part('Wallet')
  const { StorageKnex } = part('storage/StorageKnex')
  const { WalletStorageManager } = part('storage/WalletStorageManager')
  const sdk = load('@bsv/sdk') as typeof import('@bsv/sdk')
  const keyDeriver = new sdk.KeyDeriver(sdk.PrivateKey.fromRandom())
  load('knex/lib/dialects/better-sqlite3').prototype._driver = () => Database
  const knex = load('knex')({ client: 'better-sqlite3', connection: ':memory:', useNullAsDefault: true })
  const own = new StorageKnex({ ...StorageKnex.createStorageBaseOptions('test'), knex })
  await own.migrate('wallet of a test', keyDeriver.identityKey)
  await own.makeAvailable()
  const storage = new WalletStorageManager(keyDeriver.identityKey, own)
  await storage.makeAvailable()
  const wallet = new Wallet({ chain: 'test', keyDeriver, storage, services: servicesOf(node, sdk) })
  return { wallet, close: () => wallet.destroy() }
}

/** Node's driver of SQLite in the shape of better-sqlite3, as far as knex uses it. That one would have to be compiled. */
class Database extends DatabaseSync {
  constructor(path: string) {
    super(path) // without knex's second argument
  }

  override prepare(sql: string) {
    const statement = prepared(() => super.prepare(sql))
    return {
      reader: statement.columns().length > 0,
      all: (values: SQLInputValue[]) => statement.all(...values),
      run: (values: SQLInputValue[]) => statement.run(...values),
    } as never
  }
}

/** The toolbox finds out by the code of an error that it is on SQLite. */
function prepared<T>(prepare: () => T): T {
  try {
    return prepare()
  } catch (error) {
    throw Object.assign(error as Error, { code: 'SQLITE_ERROR' })
  }
}

/** What the wallet asks of the network (`WalletServices` of the toolbox), as far as a payment needs it. */
function servicesOf(node: UsersNode, sdk: typeof import('@bsv/sdk')) {
  const heightOf = () => node.rpc<number>('getblockcount')
  const hashAt = (height: number) => node.rpc<string>('getblockhash', height)
  const tracker: ChainTracker = {
    currentHeight: heightOf,
    isValidRootForHeight: async (root, height) => (await node.rpc<Header>('getblockheader', await hashAt(height))).merkleroot === root,
  }
  const name = 'regtest'
  return {
    chain: 'test',
    getChainTracker: async () => tracker,
    getHeight: heightOf,
    getHeaderForHeight: async (height: number) => [
      ...Buffer.from(await node.rpc<string>('getblockheader', await hashAt(height), false), 'hex'),
    ],
    getRawTx: async (txid: string) => ({ name, txid, rawTx: [...Buffer.from(await node.rpc<string>('getrawtransaction', txid), 'hex')] }),
    getMerklePath: async (txid: string) => {
      const proof = await proofOf(node, txid)
      return proof === undefined ? { name } : { name, merklePath: sdk.MerklePath.fromHex(proof) }
    },
    nLockTimeIsFinal: async () => true,
    postBeef: async (beef: Beef, txids: string[]) => {
      const txidResults = []
      for (const txid of txids) {
        const data = await node.rpc('sendrawtransaction', beef.findAtomicTransaction(txid)!.toHex()).then(String, String)
        txidResults.push({ txid, status: data === txid ? 'success' : 'error', data })
      }
      return [{ name, status: txidResults.every(({ status }) => status === 'success') ? 'success' : 'error', txidResults }]
    },
  }
}

interface Header {
  height: number
  merkleroot: string
}

/** Where a transaction is in its block: a BUMP, hex. */
async function proofOf(node: UsersNode, txid: string): Promise<string | undefined> {
  const { blockhash } = await node.rpc<{ blockhash?: string }>('getrawtransaction', txid, true)
  if (blockhash === undefined) return undefined
  const { height } = await node.rpc<Header>('getblockheader', blockhash)
  return Buffer.from(scanTsc(await node.rpc('getmerkleproof2', blockhash, txid)).bump(height)).toString('hex')
}
