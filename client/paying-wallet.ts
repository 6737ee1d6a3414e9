import { scanBeef } from '../shared/chain/beef.ts'
import { messageOf, OverpoolError } from '../shared/errors.ts'
import type { Payee } from '../shared/paywall/payee.ts'
import { cut } from '../shared/printed.ts'
import type { ScannedTransaction } from '../shared/transaction/index.ts'

/** An output that a wallet is asked for. */
interface ActionOutput {
  lockingScript: string
  satoshis: number
  outputDescription: string
  customInstructions?: string
}

/** Who broadcasts, and when (BRC-100). */
export interface ActionOptions {
  noSend?: boolean
  acceptDelayedBroadcast?: boolean
}

/** What `payingFetch` asks of a wallet (BRC-100). */
export interface PayingWallet extends Pick<Payee, 'getPublicKey'> {
  createAction(args: {
    description: string
    outputs: ActionOutput[]
    options: { randomizeOutputs: boolean } & ActionOptions
  }): Promise<{ tx?: ArrayLike<number>; signableTransaction?: { reference: string } }>
  signAction(args: { reference: string; spends: Record<number, never>; options: ActionOptions }): Promise<{ tx?: ArrayLike<number> }>
}

/** Characters of a description (BRC-100). */
export const MAX_DESCRIPTION = 50
/** Characters of a wallet's sentence that an error repeats. */
const MAX_SAID = 300

/**
 * Has a wallet make a transaction. What it gives back is scanned; whether it has the outputs, the caller checks.
 * @throws OverpoolError WALLET_UNAVAILABLE: it failed; BAD_TRANSACTION: it gave no transaction back, and may have paid
 */
export async function transactionBy(
  wallet: PayingWallet,
  description: string,
  outputs: ActionOutput[],
  options: ActionOptions,
): Promise<{ beef: Uint8Array; scanned: ScannedTransaction }> {
  const beef = await ofWallet(async () => {
    const action = await wallet.createAction({ description, outputs, options: { randomizeOutputs: false, ...options } })
    if (action.tx || !action.signableTransaction) return action.tx
    const { reference } = action.signableTransaction
    return (await wallet.signAction({ reference, spends: {}, options })).tx
  })
  if (!beef) throw new OverpoolError('BAD_TRANSACTION', 'the wallet gave no transaction back: ask it whether it has paid')
  const bytes = Uint8Array.from(beef)
  return { beef: bytes, scanned: scanBeef(bytes).subject }
}

/** @throws OverpoolError WALLET_UNAVAILABLE */
export async function ofWallet<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new OverpoolError('WALLET_UNAVAILABLE', `the wallet has not paid: ${cut(messageOf(cause), MAX_SAID)}`, { cause })
  }
}
