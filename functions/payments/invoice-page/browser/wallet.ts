import { filled, LOCAL_WALLETS, type PageData } from '../page-data.ts'

/** What a wallet is asked for (BRC-100). */
interface CreateAction {
  description: string
  outputs: { lockingScript: string; satoshis: number; outputDescription: string }[]
  options: { randomizeOutputs: boolean; acceptDelayedBroadcast: boolean }
}

/** What a wallet answers: the transaction as AtomicBEEF, its id alone, or a transaction that it signs when it is asked again. */
interface Action {
  txid?: string
  tx?: number[] | Uint8Array | string
  signableTransaction?: { reference: string }
}

/** The parts of a BRC-100 wallet that the page uses. */
export interface Wallet {
  createAction(args: CreateAction): Promise<Action>
  signAction(args: { reference: string; spends: object; options: { acceptDelayedBroadcast: boolean } }): Promise<Action>
}

declare global {
  interface Window {
    /** the wallet of a browser extension, or of a wallet's own browser */
    CWI?: Wallet
  }
}

/** Bytes of a description: wallets refuse shorter and longer ones. */
const [MIN_DESCRIPTION, MAX_DESCRIPTION] = [5, 50]

/** The wallet in the browser, else one that runs on this computer. It may take as long as the user needs to let the page reach it. */
export async function findWallet(): Promise<Wallet | undefined> {
  if (window.CWI) return window.CWI
  const answered = LOCAL_WALLETS.map(async (url) => {
    await ask(url, 'getVersion', {})
    return localWallet(url)
  })
  return Promise.any(answered).catch(() => undefined)
}

/** Has the wallet pay the invoice. It may never answer, even if it has paid. */
export async function payWith(wallet: Wallet, { to, memo, outputs, strings }: PageData): Promise<Action> {
  const purpose = filled(strings.description, { to })
  const action = await wallet.createAction({
    description: described(purpose),
    outputs: outputs.map(({ script, satoshis, description }) => ({
      lockingScript: script,
      satoshis,
      outputDescription: described(description ?? memo ?? purpose),
    })),
    options: { randomizeOutputs: false, acceptDelayedBroadcast: false },
  })
  const { reference } = action.signableTransaction ?? {}
  if (reference === undefined) return action
  return wallet.signAction({ reference, spends: {}, options: { acceptDelayedBroadcast: false } })
}

function localWallet(url: string): Wallet {
  return { createAction: (args) => ask(url, 'createAction', args), signAction: (args) => ask(url, 'signAction', args) }
}

async function ask<T>(url: string, call: string, args: object): Promise<T> {
  const headers = { accept: 'application/json', 'content-type': 'application/json' }
  const response = await fetch(`${url}/${call}`, { method: 'POST', headers, body: JSON.stringify(args) })
  const said = (await response.json()) as T & { message?: string }
  if (!response.ok) throw new Error(said.message ?? `HTTP ${response.status}`)
  return said
}

/** A text that is as long as wallets take it. */
function described(text: string): string {
  const encoder = new TextEncoder()
  let said = ''
  for (const character of text) {
    if (encoder.encode(said + character).length > MAX_DESCRIPTION) break
    said += character
  }
  return said.padEnd(MIN_DESCRIPTION, '.')
}
