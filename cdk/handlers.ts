import type { Construct } from 'constructs'
import type { EnvOf } from '../shared/config/env.ts'
import { STORES } from '../shared/store/dynamodb/partitions.ts'
import { Belled } from './belled.ts'
import type { Ingress } from './ingress.ts'
import type { Ledger } from './ledger.ts'
import type { HandlerCode } from './read.ts'

export interface HandlerProps {
  code: HandlerCode
  ledger: Ledger
  ingress: Ingress
  namespace: string
  traces: boolean
  /** whether pools ask for payments: then handlers make invoices */
  asks: boolean
}

/** A user's handler: its function, the queue of its bells, and their dead-letter queue. */
export class Handler extends Belled {
  readonly code: HandlerCode

  constructor(scope: Construct, { code, ledger, ingress, namespace, traces, asks }: HandlerProps) {
    super(scope, `Handler-${code.name}`, {
      ...code,
      description: `Overpool: calls the handler ${code.named}`,
      environment: (bells): EnvOf<'handler'> => ({
        HANDLER: code.name,
        BELLS_URL: bells.queueUrl,
        TABLE: ledger.table.tableName,
        BUCKET: ledger.bucket.bucketName,
        INGRESS_URLS: ingress.urls,
        NAMESPACE: namespace,
      }),
      traces,
    })
    this.code = code
    // It writes its progress and what it wants published or subscribed to; never a block.
    ledger.grant(this.function, { read: STORES, write: ['progress', 'state', 'control', ...(asks ? (['invoices'] as const) : [])] })
    ledger.grantPutMessages(this.function)
    ledger.grantPutAncestors(this.function)
    ledger.grantGetAncestors(this.function)
    ingress.grantPost(this.function)
  }

  /** Its invoices are paid at this door. */
  askAt(door: string): void {
    const { DOOR_URL }: Pick<EnvOf<'handler'>, 'DOOR_URL'> = { DOOR_URL: door }
    this.function.addEnvironment('DOOR_URL', DOOR_URL!)
  }
}
