import { HTTPWalletJSON } from '@bsv/sdk'
import { messageOf } from '../shared/errors.ts'
import type { PayingWallet } from './paying-wallet.ts'

/** What wallets show as the program that asks. */
const ORIGINATOR = 'overpool.localhost'

/** A wallet that a program of this computer serves (BRC-100 over HTTP). */
export function walletAt(url: string): PayingWallet {
  const wallet = new HTTPWalletJSON(ORIGINATOR, url.replace(/\/$/, '')) as PayingWallet
  return {
    getPublicKey: (args: never) => saying(wallet.getPublicKey(args)),
    createAction: (args) => saying(wallet.createAction(args)),
    signAction: (args) => saying(wallet.signAction(args)),
  }
}

/** An error of the SDK repeats all that the wallet was asked: what the wallet has said is enough. */
async function saying<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    const said = sentenceIn(messageOf(error))
    throw said === undefined ? error : new Error(said, { cause: error })
  }
}

function sentenceIn(text: string): string | undefined {
  try {
    const { message } = Object(JSON.parse(text)) as { message?: unknown }
    return typeof message === 'string' ? message : undefined
  } catch {
    return undefined
  }
}
