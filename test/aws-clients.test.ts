import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SQSClient } from '@aws-sdk/client-sqs'
import { describe, expect, it, vi } from 'vitest'
import { AwsClients } from '../shared/aws/clients.ts'

describe('the AWS clients', () => {
  it('are one per service; each tries a request once and is traced once', async () => {
    const traced: unknown[] = []
    const clients = new AwsClients({
      region: 'eu-west-1',
      traced(client) {
        traced.push(client)
        return client
      },
    })
    const sqs = clients.of(SQSClient)
    expect(clients.of(SQSClient)).toBe(sqs)
    const dynamodb = clients.of(DynamoDBClient)
    expect(traced).toEqual([sqs, dynamodb])
    for (const { config } of [sqs, dynamodb]) expect([await config.maxAttempts(), await config.region()]).toEqual([1, 'eu-west-1'])
  })

  it('are closed together', () => {
    const clients = new AwsClients({})
    const closed = [clients.of(SQSClient), clients.of(DynamoDBClient)].map((client) => vi.spyOn(client, 'destroy'))
    clients.close()
    for (const destroy of closed) expect(destroy).toHaveBeenCalledOnce()
  })
})
