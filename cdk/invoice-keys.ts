import { RemovalPolicy } from 'aws-cdk-lib'
import { Secret } from 'aws-cdk-lib/aws-secretsmanager'
import type { Construct } from 'constructs'
import type { OverpoolConfig } from '../shared/config/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import { acknowledge } from './acknowledge.ts'
import { NOT_HEX } from './ledger.ts'

/** The keys that sign `merchantData`. Whoever has them can make requests in the machine's name that pay himself. */
export function invoiceKeys(scope: Construct): Secret {
  const keys = new Secret(scope, 'InvoiceKeys', {
    description:
      'Signs the payment requests of the machine. To replace the key, put a new one (64 hex characters) in front of the old one, with a space between.',
    generateSecretString: { passwordLength: 64, excludeCharacters: NOT_HEX, requireEachIncludedType: false },
    removalPolicy: RemovalPolicy.DESTROY, // another machine makes its own
  })
  acknowledge(keys, {
    'AwsSolutions-SMG4': 'If the key were rotated automatically, open requests would become invalid. The owner adds a second key instead.',
  })
  return keys
}

/** Refuses at deployment a `request` whose money would have no wallet to go to. @throws OverpoolError BAD_CONFIG */
export function checkAskedOnAws({ pools, receive }: OverpoolConfig): void {
  if (receive !== undefined) return
  for (const [path, { request }] of Object.entries(pools)) {
    if (request === undefined || typeof request === 'function') continue
    const { outputs = [{}] } = request
    if (outputs.some(({ script, address }) => script === undefined && address === undefined))
      throw new OverpoolError(
        'BAD_CONFIG',
        `the config is wrong: pools.${path}.request names no script and no address, and a machine on AWS has no key of its own for invoices: set \`receive\` to the xpub of your wallet`,
      )
  }
}
