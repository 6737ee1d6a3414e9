import type { StatusName } from '../ledger/status.ts'
import type { PageSettings } from './page-settings.ts'

/** What has become of an invoice. */
export type InvoiceState = 'open' | 'underpaid' | 'paid' | 'overpaid' | 'late' | 'second' | 'expired' | 'cancelled'

/** An output that an invoice asks for. */
export interface InvoiceOutput {
  satoshis: number
  /** locking script, hex */
  script: string
  address?: string
  description?: string
  /** where the machine has made the script: of which of the keys below `receive` (BIP32), such as `0/7` */
  keyPath?: string
}

/** An invoice as its page, its pollers and its subscribers see it. What does not apply is absent. Times are in ms. */
export interface InvoiceView {
  id: string
  /** the pool's path */
  pool: string
  /** where the invoice is looked at, and where it is paid to by a POST */
  url: string
  state: InvoiceState
  /** a payment was taken, and its entry is on its way into the ledger */
  underWay?: boolean
  /** what is only sent to its address is noticed: the machine looks for it on the chain */
  watched?: boolean
  /** it is underpaid, and the time to pay it is over */
  expired?: boolean
  memo?: string
  /** the name of who asks */
  to: string
  /** satoshis that are asked for */
  due: number
  /** satoshis that have come */
  received: number
  outputs: InvoiceOutput[]
  createdAt: number
  expiresAt?: number
  /** what a wallet sends back with its payment */
  merchantData: string
  uris: { page: string; pay: string; bip272: string; address?: string }
  payment?: { txid: string; seq?: number; status?: StatusName; at: number }
  page?: PageSettings
}

/** Changes with everything about an invoice that its page shows and that can change. The page is fetched again when it does. */
export function progressOf({ state, underWay, expired, received, payment }: InvoiceView): string {
  return [state, underWay ?? false, expired ?? false, received, payment?.txid, payment?.seq, payment?.status].join(' ')
}
