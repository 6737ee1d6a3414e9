import type { Construct } from 'constructs'
import type { EnvOf } from '../shared/config/env.ts'
import { BROADCASTER } from '../shared/config/plan.ts'
import { Belled } from './belled.ts'
import type { Bitcoin } from './bitcoin.ts'
import type { Ingress } from './ingress.ts'
import type { Ledger } from './ledger.ts'
import type { BroadcasterCode } from './read.ts'

export interface BroadcasterProps {
  code: BroadcasterCode
  bitcoin: Bitcoin
  ledger: Ledger
  ingress: Ingress
  namespace: string
  traces: boolean
}

/** The built-in handler that hands transactions to the network: its function, the queue of its bells, and their dead-letter queue. */
export class Broadcaster extends Belled {
  constructor(scope: Construct, { code, bitcoin, ledger, ingress, namespace, traces }: BroadcasterProps) {
    super(scope, 'Broadcaster', {
      ...code,
      name: BROADCASTER,
      description: 'Overpool: hands transactions to the Bitcoin network',
      environment: (bells): Omit<EnvOf<'broadcaster'>, 'DOOR_URL'> => ({
        BELLS_URL: bells.queueUrl,
        TABLE: ledger.table.tableName,
        BUCKET: ledger.bucket.bucketName,
        INGRESS_URLS: ingress.urls,
        NAMESPACE: namespace,
        CALLBACKS_ARN: bitcoin.callbacks.secretArn,
      }),
      traces,
    })
    // It finds the transactions and what is known of them, and posts what becomes of them. Of the stores it writes only how far it has come.
    ledger.grant(this.function, { read: ['blocks', 'receipts', 'statuses', 'control', 'progress'], write: ['progress'] })
    ledger.grantPutMessages(this.function)
    ledger.grantPutAncestors(this.function)
    ledger.grantGetAncestors(this.function)
    ingress.grantPost(this.function)
    bitcoin.grantSecrets(this.function)
  }

  /** Services call back at this door. It is deployed after the sidecar, which has to know the queue of this function: so its address comes last. */
  callBackAt(door: string): void {
    const { DOOR_URL }: Pick<EnvOf<'broadcaster'>, 'DOOR_URL'> = { DOOR_URL: door }
    this.function.addEnvironment('DOOR_URL', DOOR_URL)
  }
}
