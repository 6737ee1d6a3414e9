import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LockingScript, P2PKH, PrivateKey, Transaction } from '@bsv/sdk'
import { EmbeddedMachine, type MachineOptions } from '../../local/machine.ts'
import { lineOf } from '../../local/report.ts'
import type { BitcoinSettings } from '../../shared/config/bitcoin.ts'
import type { LedgerEvent } from '../../shared/ledger/event.ts'
import type { UsersNode } from './node.ts'

/** A key of the tests, whose coins come from the node. */
export const key = PrivateKey.fromString('0101010101010101010101010101010101010101010101010101010101010101', 'hex')
export const OURS = new P2PKH().lock(key.toAddress())

/** The settings of a machine that reads the chain from this node and broadcasts to it. */
export function bitcoinOf(node: UsersNode & { zmq?: string }, more: Partial<BitcoinSettings> = {}): BitcoinSettings {
  process.env.TEST_NODE_PASSWORD = node.password
  const place = { node: node.url, user: node.user, password: { env: 'TEST_NODE_PASSWORD' } }
  return { network: 'regtest', broadcast: [place], chain: [{ ...place, ...(node.zmq !== undefined && { zmq: node.zmq }) }], ...more }
}

/** An embedded machine of a test, with all that its handlers got. */
export class BitcoinMachine implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'overpool-bitcoin-machine-'))
  readonly reports: string[] = []
  readonly events: LedgerEvent[] = []
  #machine: EmbeddedMachine | undefined

  static async start(bitcoin: BitcoinSettings, options: Partial<MachineOptions> = {}): Promise<BitcoinMachine> {
    const machine = new BitcoinMachine()
    await machine.start(bitcoin, options)
    return machine
  }

  get machine(): EmbeddedMachine {
    return this.#machine!
  }

  get pools() {
    return this.machine.pools
  }

  async start(bitcoin: BitcoinSettings, options: Partial<MachineOptions> = {}): Promise<void> {
    const report = (said: Parameters<MachineOptions['report']>[0]) => {
      const line = lineOf(said)
      if (line !== undefined) this.reports.push(line)
    }
    this.#machine = await EmbeddedMachine.open({ dir: this.dir, report, bitcoin, ...options })
    const note = (event: LedgerEvent) => void this.events.push(event)
    const functions = { tx: note, status: note, block: note, reorg: note }
    await this.#machine.handle({ name: 'notes', functions, takes: () => true })
  }

  async stop(): Promise<void> {
    await this.#machine?.close()
    this.#machine = undefined
  }

  /** The statuses of a transaction in a pool, in the order of the ledger. */
  async statuses(path: string, txid: string): Promise<string[]> {
    const said: string[] = []
    for await (const event of this.pools.read({ path, kinds: ['status'] })) if (event.of.txid === txid) said.push(event.status)
    return said
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** A signed transaction that the network takes: it pays to our key. @param from an output of ours, default: a fresh coin of the node */
export async function signed(node: UsersNode, from?: { transaction: Transaction; vout: number }, satoshis = 1_000): Promise<Transaction> {
  const { transaction: source, vout } = from ?? (await coin(node))
  const tx = new Transaction()
  tx.addInput({ sourceTransaction: source, sourceOutputIndex: vout, unlockingScriptTemplate: new P2PKH().unlock(key) })
  tx.addOutput({ lockingScript: OURS, satoshis })
  await tx.sign()
  return tx
}

/** A script that nobody else uses. */
export function freshScript(): LockingScript {
  return new P2PKH().lock(PrivateKey.fromRandom().toAddress())
}

/** An output that pays to our key, in the node's mempool. */
export async function coin(node: UsersNode, satoshis = 10_000): Promise<{ transaction: Transaction; vout: number }> {
  const { hex, vout } = await node.fund(OURS.toHex(), satoshis)
  return { transaction: Transaction.fromHex(hex), vout }
}

/** So many signed transactions, none of which spends another one. */
export async function manySigned(node: UsersNode, count: number): Promise<Transaction[]> {
  const { transaction: source, vout } = await coin(node, count * 3_000 + 10_000)
  const fan = new Transaction()
  fan.addInput({ sourceTransaction: source, sourceOutputIndex: vout, unlockingScriptTemplate: new P2PKH().unlock(key) })
  for (let i = 0; i < count; i++) fan.addOutput({ lockingScript: OURS, satoshis: 3_000 })
  await fan.sign()
  await node.rpc('sendrawtransaction', fan.toHex())
  return Promise.all(Array.from({ length: count }, (_, vout) => signed(node, { transaction: fan, vout })))
}
