import { randomBytes } from 'node:crypto'
import {
  type CreateActionArgs,
  type CreateActionResult,
  MerklePath,
  P2PKH,
  PrivateKey,
  ProtoWallet,
  PublicKey,
  Script,
  type SignActionArgs,
  type SignActionResult,
  Transaction,
} from '@bsv/sdk'
import type { PayingWallet } from '../../index.ts'

/** What a coin of a test wallet holds. */
const COIN = 1_000_000

/** A wallet of BRC-100 with keys, coins and signatures of its own. Each coin is the only transaction of a block that does not exist: what nobody but a chain could find out. */
export class TestWallet extends ProtoWallet implements PayingWallet {
  readonly key: PrivateKey
  /** the calls that asked for a transaction */
  readonly actions: CreateActionArgs[] = []
  /** transactions that it lays open for a signature first, as some wallets do */
  readonly #unsigned = new Map<string, Transaction>()
  readonly #asksToSign: boolean
  /** how many unconfirmed transactions stand between a coin and a payment */
  readonly #ancestors: number

  constructor(key = PrivateKey.fromRandom(), { asksToSign = false, ancestors = 0 } = {}) {
    super(key)
    this.key = key
    this.#asksToSign = asksToSign
    this.#ancestors = ancestors
  }

  async createAction(args: CreateActionArgs): Promise<CreateActionResult> {
    this.actions.push(args)
    const tx = await this.pay((args.outputs ?? []).map(({ lockingScript, satoshis }) => ({ script: lockingScript, satoshis })))
    if (!this.#asksToSign) return { txid: tx.id('hex'), tx: tx.toAtomicBEEF() }
    const reference = randomBytes(8).toString('base64')
    this.#unsigned.set(reference, tx)
    return { signableTransaction: { tx: tx.toAtomicBEEF(), reference } }
  }

  async signAction({ reference }: SignActionArgs): Promise<SignActionResult> {
    const tx = this.#unsigned.get(reference)!
    return { txid: tx.id('hex'), tx: tx.toAtomicBEEF() }
  }

  /** A signed transaction with these outputs, and change. */
  async pay(outputs: { script: string; satoshis: number }[]): Promise<Transaction> {
    let source = this.#coin()
    for (let i = 0; i < this.#ancestors; i++) source = await this.#spend(source, [])
    return this.#spend(source, outputs)
  }

  #coin(): Transaction {
    const coinbase = {
      sourceTXID: '00'.repeat(32),
      sourceOutputIndex: 0xffffffff,
      unlockingScript: Script.fromHex(`08${randomBytes(8).toString('hex')}`),
      sequence: 0xffffffff,
    }
    const coin = new Transaction(1, [coinbase], [{ lockingScript: this.#lock(), satoshis: COIN }], 0)
    coin.merklePath = MerklePath.fromCoinbaseTxidAndHeight(coin.id('hex'), 800_000)
    return coin
  }

  async #spend(source: Transaction, outputs: { script: string; satoshis: number }[]): Promise<Transaction> {
    const left = source.outputs.at(-1)!.satoshis! - outputs.reduce((sum, { satoshis }) => sum + satoshis, 0) - 10
    const tx = new Transaction(1)
    tx.addInput({
      sourceTransaction: source,
      sourceOutputIndex: source.outputs.length - 1,
      unlockingScriptTemplate: new P2PKH().unlock(this.key),
    })
    for (const { script, satoshis } of outputs) tx.addOutput({ lockingScript: Script.fromHex(script) as never, satoshis })
    tx.addOutput({ lockingScript: this.#lock(), satoshis: left })
    await tx.sign()
    return tx
  }

  #lock() {
    return new P2PKH().lock(this.key.toPublicKey().toHash() as number[])
  }
}

/** The object in a header of x402. */
export function decoded(header: string | null | undefined): Record<string, never> & { accepts: Offer[] } {
  return JSON.parse(Buffer.from(header ?? '', 'base64').toString())
}

export interface Offer {
  scheme?: string
  network: string
  amount: string
  extra: { invoiceId: string; lockingScriptHex?: string; expiresAt: string; submitUrl?: string }
}

export function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64')
}

/** The headers of a payment of BRC-121, as a wallet of that key sends them. */
export async function headers121(
  wallet: TestWallet,
  server: string,
  satoshis: number,
  { nonce = randomBytes(8).toString('base64'), time = String(Date.now()), before = [] as { script: string; satoshis: number }[] } = {},
): Promise<Record<string, string>> {
  const keyID = `${nonce} ${Buffer.from(time).toString('base64')}`
  const { publicKey } = await wallet.getPublicKey({ protocolID: [2, '3241645161d8'], keyID, counterparty: server })
  const { publicKey: sender } = await wallet.getPublicKey({ identityKey: true })
  const script = new P2PKH().lock(PublicKey.fromString(publicKey).toHash() as number[]).toHex()
  const tx = await wallet.pay([...before, { script, satoshis }])
  return {
    'x-bsv-beef': Buffer.from(tx.toAtomicBEEF()).toString('base64'),
    'x-bsv-sender': sender,
    'x-bsv-nonce': nonce,
    'x-bsv-time': time,
    'x-bsv-vout': String(before.length),
  }
}
