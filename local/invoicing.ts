import { createHmac } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { atFirstUse } from '../shared/first-use.ts'
import { type TokenKeys, tokenKeysIn } from '../shared/invoice/token.ts'
import { Invoicing } from '../shared/machine/invoicing.ts'
import type { Stores } from '../shared/store/port.ts'
import { folderLayout } from './folder.ts'

export interface LocalInvoicing {
  dir: string
  seed: () => Uint8Array
  stores: Stores
  now: () => number
  /** the xpub of the config */
  receive?: string | undefined
  /** on a test network addresses have another form */
  isTest?: boolean | undefined
  /** whether the machine looks on the chain for what is sent to the addresses of invoices */
  watches?: boolean | undefined
}

/** The invoices of a machine in a folder. Its keys are made from the seed; `invoice-keys` may have newer ones of `merchantData`. */
export function invoicingIn({ dir, seed, stores, now, receive, isTest, watches }: LocalInvoicing): Invoicing {
  return new Invoicing({
    stores,
    now,
    watches,
    keys: atFirstUse(async () => tokenKeys(dir, seed())),
    receiver: atFirstUse(async () => {
      const { ownExtendedKey, Receiver } = await import('../shared/invoice/receive.ts')
      return new Receiver(receive ?? ownExtendedKey(receiveSeed(seed())).toPublic().toString(), isTest)
    }),
  })
}

/** What the machine's own keys for money are made from. */
export function receiveSeed(seed: Uint8Array): Uint8Array {
  return createHmac('sha256', seed).update('overpool receive').digest()
}

/** The keys in the file, then the one that is made from the seed, so that none is lost with the file. */
function tokenKeys(dir: string, seed: Uint8Array): TokenKeys {
  const own = createHmac('sha256', seed).update('overpool invoices').digest()
  const { invoiceKeys } = folderLayout(dir)
  if (!existsSync(invoiceKeys)) return [own]
  return [...tokenKeysIn(readFileSync(invoiceKeys, 'utf8'), invoiceKeys), own]
}
