import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamoStores } from '../store/dynamodb/index.ts'
import type { Stores } from '../store/port.ts'
import type { Bucket } from './bucket.ts'
import type { AwsClients } from './clients.ts'

/** The stores of a machine: its table, and its bucket for large blocks. It is separate from queues.ts so that the HTTP door does not load the DynamoDB client. */
export function openStores(clients: AwsClients, table: string, bucket: Bucket): Stores {
  return dynamoStores({ client: clients.of(DynamoDBClient), table, blobs: bucket.blobs('blocks/'), ancestors: bucket.ancestors() })
}
