import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { S3Objects } from '../../shared/blobs/s3.ts'
import type { Ancestors } from '../../shared/store/ancestors.ts'
import { S3Ancestors } from '../../shared/store/s3/ancestors.ts'

/** An AWS for tests: its address, and what it contains. */
export interface AwsPlace {
  endpoint: string
  table: string
  bucket: string
}

export interface AwsClients {
  dynamodb: DynamoDBClient
  sqs: SQSClient
  s3: S3Client
  close: () => void
}

/** Clients of the real SDK, with the settings that shared/aws/call.ts needs. */
export function awsClients(endpoint: string): AwsClients {
  const config = { endpoint, region: 'us-east-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' }, maxAttempts: 1 }
  const dynamodb = new DynamoDBClient(config)
  const sqs = new SQSClient(config)
  const s3 = new S3Client({ ...config, forcePathStyle: true })
  return {
    dynamodb,
    sqs,
    s3,
    close() {
      for (const client of [dynamodb, sqs, s3]) client.destroy()
    },
  }
}

/** What came along with payments, in the bucket. */
export function ancestorsIn({ s3 }: Pick<AwsClients, 's3'>, { bucket }: Pick<AwsPlace, 'bucket'>): Ancestors {
  return new S3Ancestors(new S3Objects({ client: s3, bucket, prefix: 'ancestors/' }))
}

/** The URL of a queue of this name. */
export function queueUrl({ endpoint }: Pick<AwsPlace, 'endpoint'>, name: string): string {
  return `${endpoint}/000000000000/${name}`
}
