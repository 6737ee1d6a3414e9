import type { InvoiceOutput } from '../../../shared/invoice/view.ts'
import type { ScriptStrings } from './strings.ts'

/** What the page's script reads from the page. */
export interface PageData {
  /** the path of the invoice on this host */
  path: string
  /** as `progressOf` says */
  progress: string
  /** a payment is expected, or on its way */
  isAwaited: boolean
  /** nothing changes any more */
  isSettled: boolean
  /** `<path>/events` sends what becomes of the invoice */
  events: boolean
  to: string
  memo?: string
  outputs: InvoiceOutput[]
  merchantData: string
  expiresAt?: number
  strings: ScriptStrings
}

/** Wallets that listen on the computer of whoever looks at the page (BRC-100 as JSON over HTTP). */
export const LOCAL_WALLETS = ['http://localhost:3321', 'https://localhost:2121']

/** Puts values where their names stand in braces. */
export function filled(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all))
}
