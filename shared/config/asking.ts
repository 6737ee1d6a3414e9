import { seesAll } from './bitcoin.ts'
import type { OverpoolConfig } from './config.ts'

/** What invoices need of a config. */
export interface Asking extends Pick<OverpoolConfig, 'receive'> {
  /** on a test network addresses have another form */
  isTest: boolean
  /** whether the machine looks on the chain for what is sent to the addresses of invoices */
  watches: boolean
}

export function askingIn({ receive, bitcoin }: Pick<OverpoolConfig, 'receive' | 'bitcoin'>): Asking {
  return {
    ...(receive !== undefined && { receive }),
    isTest: bitcoin !== undefined && bitcoin.network !== 'main',
    watches: seesAll(bitcoin),
  }
}
