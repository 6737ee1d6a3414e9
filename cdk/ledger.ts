import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib'
import { AttributeType, BillingMode, type ITable, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb'
import { Effect, Grant, type IGrantable } from 'aws-cdk-lib/aws-iam'
import { BlockPublicAccess, Bucket, BucketEncryption, type CfnBucket, type IBucket } from 'aws-cdk-lib/aws-s3'
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager'
import { Construct } from 'constructs'
import type { Prefix } from '../shared/blobs/s3.ts'
import type { AwsSettings } from '../shared/config/aws.ts'
import { partitionsOf, STORES, type StoreName } from '../shared/store/dynamodb/partitions.ts'
import { acknowledge } from './acknowledge.ts'

/** A message stays in its queue or dead-letter queue for 14 days at most: its body is kept a little longer. */
const MESSAGES_EXPIRE = Duration.days(15)

/** A secret consists of printable characters; the seed is 64 hex digits. */
export const NOT_HEX = String.fromCharCode(...Array.from({ length: 0x7f - 0x20 }, (_, i) => 0x20 + i)).replace(/[0-9a-f]/g, '')

/** The stores that a part of the machine may read, and those that it may write: only the named ones. */
export interface Rights {
  read?: readonly StoreName[]
  write?: readonly StoreName[]
}

/** What must not be lost: the mirror, the bucket for what is too big for it, and the seed of all keys. The stack makes them, or uses existing ones. */
export class Ledger extends Construct {
  readonly table: ITable
  readonly bucket: IBucket
  readonly seed: ISecret

  constructor(scope: Construct, { retain, adopted }: { retain: boolean; adopted: AwsSettings['ledger'] }) {
    super(scope, 'Ledger')
    const removalPolicy = retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY
    this.table = adopted ? Table.fromTableName(this, 'Table', adopted.table) : this.#makeTable(removalPolicy)
    this.bucket = adopted ? Bucket.fromBucketName(this, 'Bucket', adopted.bucket) : this.#makeBucket(removalPolicy)
    this.seed = adopted ? Secret.fromSecretCompleteArn(this, 'Seed', adopted.seed) : this.#makeSeed(removalPolicy)
  }

  #makeTable(removalPolicy: RemovalPolicy): Table {
    return new Table(this, 'Table', {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.DEFAULT, // at rest, with a key of DynamoDB's own: one of KMS costs a request each few minutes for every function
      timeToLiveAttribute: 'expires', // the journal of the handlers' states
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: removalPolicy === RemovalPolicy.RETAIN,
      removalPolicy,
    })
  }

  #makeBucket(removalPolicy: RemovalPolicy): Bucket {
    const bucket = new Bucket(this, 'Bucket', {
      encryption: BucketEncryption.S3_MANAGED,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      lifecycleRules: [{ prefix: 'messages/', expiration: MESSAGES_EXPIRE, abortIncompleteMultipartUploadAfter: Duration.days(1) }],
      removalPolicy,
    })
    acknowledge(bucket, {
      'AwsSolutions-S1':
        'Only the functions and the sidecar reach it, by IAM; access logs would cost as much as the objects, and CloudTrail can be turned on.',
    })
    return bucket
  }

  #makeSeed(removalPolicy: RemovalPolicy): Secret {
    const seed = new Secret(this, 'Seed', {
      description:
        'Whoever has it can sign as any pool of this machine; without it none can be signed any more. Never rotate it, keep a copy.',
      generateSecretString: {
        passwordLength: 64,
        excludeCharacters: NOT_HEX,
        requireEachIncludedType: false,
      },
      removalPolicy,
    })
    acknowledge(seed, {
      'AwsSolutions-SMG4': 'The keys of all pools are made from it: another seed would be another ledger, under keys that nobody follows.',
    })
    return seed
  }

  /** Grants reading and writing these stores, with large blocks in the bucket, and nothing else. */
  grant(to: IGrantable, { read = [], write = [] }: Rights): void {
    this.#grantItems(to, READ, read)
    this.#grantItems(
      to,
      write.some((store) => store === 'receipts' || store === 'statuses') ? [...WRITE, 'dynamodb:BatchWriteItem'] : WRITE,
      write,
    )
    if (read.includes('blocks')) this.#grantGet(to, 'blocks/')
    if (write.includes('blocks')) this.#grantPut(to, 'blocks/')
  }

  /** Bodies of messages that are too big for a queue. */
  grantPutMessages(to: IGrantable): void {
    this.#grantPut(to, 'messages/')
  }

  grantGetMessages(to: IGrantable): void {
    this.#grantGet(to, 'messages/')
  }

  /** What comes along with payments. */
  grantPutAncestors(to: IGrantable): void {
    this.#grantPut(to, 'ancestors/')
  }

  grantGetAncestors(to: IGrantable): void {
    this.#grantGet(to, 'ancestors/')
  }

  /** Actions on the items of these stores; on the whole table where they are all of them. */
  #grantItems(to: IGrantable, actions: string[], stores: readonly StoreName[]): void {
    if (!stores.length) return
    const grant = this.table.grant(to, ...actions)
    if (STORES.every((store) => stores.includes(store))) return
    for (const statement of grant.principalStatements) {
      if (statement.effect === Effect.ALLOW)
        statement.addCondition('ForAllValues:StringLike', { 'dynamodb:LeadingKeys': stores.flatMap(partitionsOf) })
    }
  }

  #grantGet(to: IGrantable, prefix: Prefix): void {
    this.#grant(to, 's3:GetObject', prefix)
    // Without this grant S3 answers 403 for a missing object, not 404.
    Grant.addToPrincipal({ grantee: to, actions: ['s3:ListBucket'], resourceArns: [this.bucket.bucketArn] })
  }

  #grantPut(to: IGrantable, prefix: Prefix): void {
    this.#grant(to, 's3:PutObject', prefix)
  }

  #grant(to: IGrantable, action: string, prefix: Prefix): void {
    Grant.addToPrincipal({ grantee: to, actions: [action], resourceArns: [this.bucket.arnForObjects(`${prefix}*`)] })
    acknowledge(to.grantPrincipal, {
      [`AwsSolutions-IAM5[Resource::${this.#bucketInNagFindings}/${prefix}*]`]:
        'Objects are named by their sha256, which is not known in advance: the grant can name only the prefix.',
    })
  }

  get #bucketInNagFindings(): string {
    const own = this.bucket.node.defaultChild as CfnBucket | undefined
    return own ? `<${Stack.of(this).getLogicalId(own)}.Arn>` : `arn:<AWS::Partition>:s3:::${this.bucket.bucketName}`
  }
}

/** The actions that the stores use on the table (shared/store/dynamodb); no scans. */
const READ = ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query']
const WRITE = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem']
