import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamoStores } from '../store/dynamodb/index.ts'
import type { Stores } from '../store/port.ts'
import type { Bucket } from './bucket.ts'
import type { AwsClients } from './clients.ts'

/** The stores of a machine: its table, and blocks that are too large for that in its bucket. Apart from queues.ts, or the HTTP door would load DynamoDB's client. */
export function openStores(clients: AwsClients, table: string, bucket: Bucket): Stores {
  return dynamoStores({ client: clients.of(DynamoDBClient), table, blobs: bucket.blobs('blocks/') })
}
