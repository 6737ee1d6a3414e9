import { type FunctionUrl, FunctionUrlAuthType, type Function as Lambda } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import type { EnvOf } from '../shared/config/env.ts'
import type { Bundle } from './bundle.ts'
import { lambdaOf } from './function.ts'
import type { Ingress } from './ingress.ts'
import type { Ledger } from './ledger.ts'

/** A payment is answered within this time; a wallet waits no longer, s. */
export const PAYMENTS_TIMEOUT_S = 15

export interface PaymentsProps {
  bundle: Bundle
  ledger: Ledger
  ingress: Ingress
  /** a pool has a filter: the door looks in the receipts, so that a copy of a recorded payment is not put to the filter again */
  filters: boolean
  namespace: string
  reservedConcurrency?: number
  traces: boolean
}

/** The HTTP door and its URL: a function that may put a payment into the ingress queue, a large body into the bucket, and nothing else; where a pool has a filter it also reads the receipts. */
export class Payments extends Construct {
  readonly function: Lambda
  readonly url: FunctionUrl

  constructor(scope: Construct, { bundle, ledger, ingress, filters, namespace, reservedConcurrency, traces }: PaymentsProps) {
    super(scope, 'Payments')
    const environment: EnvOf<'payments'> = { INGRESS_URLS: ingress.urls, BUCKET: ledger.bucket.bucketName, NAMESPACE: namespace }
    if (filters) environment.TABLE = ledger.table.tableName
    const { lambda } = lambdaOf(this, {
      bundle,
      environment,
      memorySize: 256,
      timeoutS: PAYMENTS_TIMEOUT_S,
      description: 'Overpool: takes BIP270 payments over HTTP',
      reservedConcurrency,
      traces,
    })
    this.function = lambda
    ingress.grantPost(this.function)
    ledger.grantPutMessages(this.function)
    if (filters) ledger.grant(this.function, { read: ['receipts'] })
    this.url = this.function.addFunctionUrl({ authType: FunctionUrlAuthType.NONE })
  }
}
