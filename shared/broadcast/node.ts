import { type NodeAddress, NodeError, NodeRpc } from '../chain/rpc.ts'
import type { Network } from '../config/bitcoin.ts'
import { OverpoolError } from '../errors.ts'
import { scanTransaction, transactionFromHex } from '../transaction/index.ts'
import type { Outgoing, Service, Word } from './service.ts'
import { inPieces, isObject } from './wire.ts'
import { hashOf, type Invalid, nodeWordOf } from './words.ts'

export interface NodeOptions extends NodeAddress {
  /** The network that the node must be on. Without it, any will do */
  network?: Network
  /** makes a BUMP of what `getmerkleproof2` answers (TSC), and the height of the block; without it, the words of this node have no proof */
  bumpOf?: (proof: unknown, height: number) => Uint8Array
}

const MAX_BATCH = 500
const MAX_BATCH_BYTES = 8 * 1024 * 1024
/** A node answers when it has checked the whole batch, ms. */
const TIMEOUT_MS = 120_000
/** Of a transaction with missing inputs, at most so many are looked at. */
const MAX_LOOKED_AT = 100

/** RPC_INVALID_ADDRESS_OR_KEY: there is no such transaction or block. */
const NOT_FOUND = -5
/** RPC_DESERIALIZATION_ERROR: one hex is no transaction, and nothing of its batch was looked at. */
const NOT_DECODED = -22

/**
 * What `sendrawtransactions` answers about a batch. It names in lists the transactions that it did not simply take, and leaves out empty lists. Whatever has another form counts as
 * absent.
 */
export function sentOf(answer: unknown): { known: Set<unknown>; evicted: Set<unknown>; invalid: Map<unknown, Invalid> } {
  const lists = Object(answer) as { known?: unknown; evicted?: unknown; invalid?: unknown }
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
  const invalid = list(lists.invalid).filter(isObject) as Invalid[]
  return {
    known: new Set(list(lists.known)),
    evicted: new Set(list(lists.evicted)),
    invalid: new Map(invalid.map((one) => [one.txid, one])),
  }
}

/**
 * A Bitcoin SV node. Its mempool is what it sees of the network.
 * @throws OverpoolError BAD_CONFIG
 */
export function nodeService({ bumpOf, network, ...options }: NodeOptions): Service {
  const node = new NodeRpc({ ...options, timeoutMs: TIMEOUT_MS })
  let isRightNetwork = network === undefined

  /** A call of the node. A node that refuses the user and password counts as away, like any service that refuses a key. */
  const call = async <T>(method: string, ...params: unknown[]): Promise<T> => {
    try {
      return await node.call<T>(method, ...params)
    } catch (error) {
      if (!(error instanceof OverpoolError) || error.code === 'UNAVAILABLE') throw error
      throw new OverpoolError('UNAVAILABLE', error.message, { cause: error, retryable: true })
    }
  }

  /** Real coins must not be spent by mistake on a network that was meant for trials, nor the other way round. */
  const checkNetwork = async (): Promise<void> => {
    if (isRightNetwork) return
    const { chain } = await call<{ chain?: unknown }>('getblockchaininfo')
    if (chain !== network)
      throw new OverpoolError(
        'UNAVAILABLE',
        `the ${node.name} is on the network "${String(chain).slice(0, 20)}", and bitcoin.network is "${network}": change one of the two`,
        {
          retryable: true,
        },
      )
    isRightNetwork = true
  }

  /** A call for what the node may not have: undefined then. */
  const find = async <T>(method: string, ...params: unknown[]): Promise<T | undefined> => {
    try {
      return await call<T>(method, ...params)
    } catch (error) {
      if (!(error instanceof NodeError)) throw error
      if (error.code === NOT_FOUND) return undefined
      throw new OverpoolError('UNAVAILABLE', `${node.name} answers ${method} with error ${error.code}`, { cause: error, retryable: true })
    }
  }

  const sendBatch = async (batch: Outgoing[]): Promise<Word[]> => {
    // Whoever signed a transaction chose its fee.
    const inputs = batch.map(({ tx }) => ({ hex: Buffer.from(tx).toString('hex'), allowhighfees: true }))
    try {
      const { known, evicted, invalid } = sentOf(await call('sendrawtransactions', inputs))
      return await oneAfterAnother(batch, async (outgoing): Promise<Word[]> => {
        const { txid } = outgoing
        const refused = invalid.get(txid)
        if (refused) return [await refusal(nodeWordOf(refused, outgoing), outgoing, refused.reject_reason)]
        if (known.has(txid)) return [{ txid, says: 'seen' }]
        if (evicted.has(txid)) return [{ txid, says: 'local', reason: 'the mempool is full of transactions with higher fees' }]
        return [{ txid, says: 'sent' }]
      })
    } catch (error) {
      if (!(error instanceof NodeError)) throw error
      if (error.code === NOT_DECODED && batch.length > 1) return oneAfterAnother(batch, (outgoing) => sendBatch([outgoing]))
      return batch.map((outgoing) => nodeWordOf({ reject_code: error.code, reject_reason: error.message }, outgoing))
    }
  }

  /** The node has one reason for inputs that do not exist yet and for inputs that another transaction has spent. */
  const refusal = async (word: Word, { txid, tx }: Outgoing, reason: unknown): Promise<Word> => {
    if (reason !== 'missing-inputs') return word
    try {
      let left = MAX_LOOKED_AT
      for (const input of scanTransaction(tx).readInputs()) {
        if (left-- === 0) break
        if (await isSpent(input))
          return { txid, says: 'double-spent', reason: `missing-inputs: ${input.txid}:${input.vout} is spent by another transaction` }
      }
    } catch (error) {
      // What the node said of the transaction stands, whatever it says of its parents.
      if (!(error instanceof OverpoolError)) throw error
    }
    return word
  }

  const isSpent = async ({ txid, vout }: { txid: string; vout: number }): Promise<boolean> => {
    if (await find('gettxout', txid, vout, true)) return false
    const parent = await find<string>('getrawtransaction', txid)
    if (!parent) return false
    const script = [...transactionFromHex(parent).readOutputs()][vout]?.script
    // A node does not keep outputs that nobody can ever spend.
    return script !== undefined && !(script[0] === 0x00 && script[1] === 0x6a)
  }

  return {
    name: node.name,
    async send(transactions) {
      await checkNetwork()
      return oneAfterAnother(inPieces(transactions, MAX_BATCH, MAX_BATCH_BYTES), sendBatch)
    },
    async ask(txid) {
      if (await find('getmempoolentry', txid)) return { txid, says: 'seen' }
      // Its answer is small, unlike the whole transaction's. It finds a transaction by the index of the node (txindex), or by an output that is not spent yet.
      const proof = await find<{ target?: unknown }>('getmerkleproof2', '', txid)
      const blockHash = hashOf(proof?.target)
      const { height, confirmations } =
        (blockHash && (await find<{ height?: number; confirmations?: number }>('getblockheader', blockHash))) || {}
      // A block that was taken back has -1 confirmations.
      if (!blockHash || !height || !Number.isSafeInteger(height) || !(Number(confirmations) > 0)) return { txid, says: 'unknown' }
      const word: Word = { txid, says: 'mined', height, blockHash }
      try {
        return bumpOf ? { ...word, proof: bumpOf(proof, height) } : word
      } catch (error) {
        if (error instanceof OverpoolError) return word // a proof that proves nothing is none
        throw error
      }
    },
  }
}

async function oneAfterAnother<T>(items: T[], work: (item: T) => Promise<Word[]>): Promise<Word[]> {
  const words: Word[] = []
  for (const item of items) words.push(...(await work(item)))
  return words
}
