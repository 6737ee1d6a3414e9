import { type FunctionUrl, FunctionUrlAuthType, type Function as Lambda } from 'aws-cdk-lib/aws-lambda'
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager'
import { Construct } from 'constructs'
import type { EnvOf } from '../shared/config/env.ts'
import type { StoreName } from '../shared/store/dynamodb/partitions.ts'
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
  /** what the tokens of services' callbacks are made of: the door also takes these, and reads what is known of the transactions that they are about */
  callbacks?: ISecret
  /** the keys of merchantData, where pools ask for payments: the door writes what is paid of invoices, and reads what became of the transactions */
  invoiceKeys?: ISecret
  /** of which the keys are made that payments of HTTP 402 and paymail go to, where a pool has a price or a paymail */
  paySecret?: ISecret
  /** where pools can be followed, if any can: the door sends followers there */
  followAt?: string
  /** a pool has a price: the door looks in the receipts whether a payment that comes late was taken in time */
  prices: boolean
  namespace: string
  reservedConcurrency?: number
  traces: boolean
}

/** The HTTP door and its URL: a function that may put a payment into the ingress queue, a large body and what comes along with a payment into the bucket, and nothing else; where a pool has a filter or a price it also reads the receipts, where services call back these and the statuses; where pools ask for payments it also keeps the invoices. */
export class Payments extends Construct {
  readonly function: Lambda
  readonly url: FunctionUrl

  constructor(
    scope: Construct,
    {
      bundle,
      ledger,
      ingress,
      filters,
      prices,
      callbacks,
      invoiceKeys,
      paySecret,
      followAt,
      namespace,
      reservedConcurrency,
      traces,
    }: PaymentsProps,
  ) {
    super(scope, 'Payments')
    const environment: EnvOf<'payments'> = { INGRESS_URLS: ingress.urls, BUCKET: ledger.bucket.bucketName, NAMESPACE: namespace }
    const read: StoreName[] = [
      ...(filters || prices || callbacks || invoiceKeys ? (['receipts'] as const) : []),
      ...(callbacks || invoiceKeys ? (['statuses'] as const) : []),
      ...(callbacks ? (['control'] as const) : []),
      ...(invoiceKeys ? (['invoices'] as const) : []),
    ]
    if (read.length) environment.TABLE = ledger.table.tableName
    if (followAt !== undefined) environment.FOLLOW_AT = followAt
    if (callbacks) environment.CALLBACKS_ARN = callbacks.secretArn
    if (invoiceKeys) environment.INVOICE_KEYS_ARN = invoiceKeys.secretArn
    if (paySecret) environment.PAY_SECRET_ARN = paySecret.secretArn
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
    ledger.grantPutAncestors(this.function)
    ledger.grant(this.function, { read, ...(invoiceKeys && { write: ['invoices'] }) })
    callbacks?.grantRead(this.function)
    invoiceKeys?.grantRead(this.function)
    paySecret?.grantRead(this.function)
    this.url = this.function.addFunctionUrl({ authType: FunctionUrlAuthType.NONE })
  }
}
