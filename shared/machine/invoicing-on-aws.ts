import type { Asking } from '../config/asking.ts'
import { OverpoolError } from '../errors.ts'
import { atFirstUse } from '../first-use.ts'
import type { TokenKeys } from '../invoice/token.ts'
import type { Stores } from '../store/port.ts'
import { Invoicing } from './invoicing.ts'

/** The invoices of a machine on AWS. @param keys of `merchantData`; only the door has them */
export function invoicingOnAws(
  { receive, isTest, watches }: Asking,
  stores: Pick<Stores, 'invoices' | 'receipts' | 'statuses'>,
  keys?: (anew?: boolean) => Promise<TokenKeys>,
): Invoicing {
  return new Invoicing({
    stores,
    now: Date.now,
    watches,
    ...(keys && { keys }),
    receiver: atFirstUse(async () => {
      if (receive === undefined)
        throw new OverpoolError(
          'BAD_CONFIG',
          'what is asked for names no script and no address, and no wallet is named that it could come to: set `receive` in the config to the xpub of one.',
        )
      const { Receiver } = await import('../invoice/receive.ts')
      return new Receiver(receive, isTest)
    }),
  })
}
