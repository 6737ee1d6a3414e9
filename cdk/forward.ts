import type { Construct } from 'constructs'
import type { EnvOf } from '../shared/config/env.ts'
import { Belled } from './belled.ts'
import type { Ledger } from './ledger.ts'
import type { ForwardCode } from './read.ts'
import { namedSecret } from './secret.ts'

export interface ForwardProps {
  code: ForwardCode
  ledger: Ledger
  namespace: string
  traces: boolean
  /** whether events show the newest status: the machine takes part in Bitcoin */
  statuses: boolean
}

/** A program of the user's that entries are posted to: the function that does so, the queue of its bells, and their dead-letter queue. */
export class Forward extends Belled {
  readonly code: ForwardCode

  constructor(scope: Construct, { code, ledger, namespace, traces, statuses }: ForwardProps) {
    super(scope, `Forward-${code.name}`, {
      ...code,
      description: `Overpool: posts entries to ${new URL(code.forward.forward).host}`,
      environment: (bells): EnvOf<'forward'> => ({
        HANDLER: code.name,
        BELLS_URL: bells.queueUrl,
        TABLE: ledger.table.tableName,
        BUCKET: ledger.bucket.bucketName,
        NAMESPACE: namespace,
      }),
      traces,
    })
    this.code = code
    // It writes how far it has come, and posts nothing.
    ledger.grant(this.function, {
      read: ['blocks', 'control', 'progress', ...(statuses ? (['statuses'] as const) : [])],
      write: ['progress'],
    })
    const { secret } = code.forward
    if ('secret' in secret) namedSecret(this, 'Secret', secret.secret).grantRead(this.function)
  }
}
