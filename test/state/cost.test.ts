import { expect, it } from 'vitest'
import { answerBell } from '../../functions/handler/runner.ts'
import { S3Blobs } from '../../shared/blobs/s3.ts'
import { systemClock } from '../../shared/clock.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import type { Stores } from '../../shared/store/port.ts'
import { ancestorsIn, awsClients } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import { blockOf, oneAttempt } from '../faults/ledger.ts'

type OnTx = (event: TxEvent, state: HandlerState) => unknown

/** The requests to DynamoDB that a run of the handler over three entries makes, after a first run over one. */
async function requestsOf(pool: string, tx: OnTx): Promise<string[]> {
  await using emulators = await Emulators.start()
  const { place, proxy } = emulators
  const clients = awsClients(place.endpoint)
  const blobs = new S3Blobs({ client: clients.s3, bucket: place.bucket, prefix: 'blocks/' })
  const open = (): Stores =>
    dynamoStores({ client: clients.dynamodb, table: place.table, blobs, ancestors: ancestorsIn(clients, place), clock: systemClock })
  const run = async (stores: Stores, n: number) => {
    const answer = await answerBell({ pool, n }, { key: 'ab'.repeat(32) }, 1, systemClock.elapsed() + 60_000, {
      handler: 'main',
      ...oneAttempt(),
      stores,
      report: (said) => expect(said).toBeUndefined(),
      functions: { tx },
    })
    expect(answer).toEqual({ done: true })
  }
  const stores = open()
  await stores.blocks.put(pool, blockOf(0, 0, 'first'))
  await stores.blocks.put(pool, blockOf(1, 1, 'one', 'two', 'three'))
  await run(stores, 0)
  const asked: string[] = []
  proxy.listen = ({ operation, input }) => {
    const { pk } = ((input.Key ?? input.Item) as { pk?: { S: string } } | undefined) ?? {}
    if (pk) asked.push(`${operation} ${pk.S.split('#')[0]}`)
  }
  await run(stores, 1)
  clients.close()
  return asked.sort()
}

it('a handler that does not use its state makes the requests that it made without one', { timeout: 60_000 }, async () => {
  expect(await requestsOf('plain', async () => {})).toEqual(['GetItem cursor', 'UpdateItem cursor'])
})

it('a commit of one key costs a write for the cursor with the changes, one for the value and one for the journal; a cold key one read', {
  timeout: 60_000,
}, async () => {
  const count: OnTx = (_e, state) => state.update('entries', (n) => ((n as number) ?? 0) + 1)
  expect(await requestsOf('counted', count)).toEqual([
    'GetItem cursor',
    'GetItem state',
    'PutItem journal',
    'UpdateItem cursor',
    'UpdateItem state',
  ])
})
