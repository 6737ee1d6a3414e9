import { join } from 'node:path'
import { HD } from '@bsv/sdk'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import { idOfPayment } from '../../shared/ledger/ids.ts'
import { transactionFromHex } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { poolKeys } from '../../sidecar/cores/core.ts'
import { queueUrl } from '../aws/clients.ts'
import { Emulators, SEED } from '../aws/emulators.ts'
import { Project } from '../cli/project.ts'
import { awsPorts } from '../machine/aws-ports.ts'
import { Agent } from './agent.ts'

// On a stack in memory, on which no sidecar and no handler runs: test/stack has one that works.

let emulators: Emulators
const sample = sampleTransaction('on AWS')

beforeAll(async () => {
  emulators = await Emulators.start()
  const { place } = emulators
  const key = HD.fromSeed([...Buffer.alloc(32, 7)]).toPublic()
  emulators.outputs = {
    Table: place.table,
    Bucket: place.bucket,
    IngressUrls: queueUrl(place, 'ingress'),
    BellsMain: `main ${queueUrl(place, 'tx-main.fifo')}`,
    Seed: 'the-seed',
    AsksAt: 'https://pay.example/',
    Receive: key.toString(),
  }
  const { stores, bells, close } = await awsPorts(place)
  await bells('main')
  const { txid, bytes: tx } = transactionFromHex(sample)
  const id = idOfPayment('mypool', tx, {})
  await stores.control.create({ kind: 'own', path: 'mypool', ...poolKeys(Buffer.from(SEED, 'hex'), 'mypool'), createdAt: 0 })
  await stores.blocks.put(
    'mypool',
    encodeBlock(0, 0, [encodeEntry({ kind: 'tx', id, at: 0, tx, payment: { memo: 'm' }, source: 'http', hops: 0 })]),
  )
  await stores.receipts.put('mypool', [{ key: txid, id, txid, seq: 0, block: 0 }])
  await close()
}, 60_000)
afterAll(() => emulators[Symbol.asyncDispose]())

it('an agent works on a stack with --stack, and its budget is in a file that the operator names', { timeout: 60_000 }, async () => {
  await using project = new Project()
  const { endpoint } = emulators.place
  const env = {
    ...(process.env as Record<string, string>),
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  }
  const on = ['--stack', 'Overpool', 'mcp', '--per-call', '10', '--per-day', '20']
  const agent = await Agent.run(on, { env })
  expect((await agent.call('list_pools')).value).toMatchObject({ running: true, pools: [{ pool: 'mypool', entries: 1 }] })
  expect((await agent.call('read_entries', { pool: 'mypool' })).value).toMatchObject({
    next: 1,
    entries: [{ seq: 0, source: 'http', untrusted: { memo: 'm', data: ['on AWS'] } }],
  })
  expect((await agent.call('explain_transaction', { txid: transactionFromHex(sample).txid })).value).toMatchObject({
    pools: [{ pool: 'mypool', seq: 0 }],
  })
  expect((await agent.call('post', { pool: 'mypool', data: ['queued'] })).value).toMatchObject({ running: true })
  expect((await agent.call('make_invoice', { pool: 'mypool', satoshis: 5 })).value).toMatchObject({
    state: 'open',
    url: expect.stringMatching(/^https:\/\/pay\.example\/mypool\//),
  })
  expect(await agent.call('get_budget')).toMatchObject({ code: 'BAD_CONFIG', text: expect.stringContaining('--budget <file>') })
  const kept = await Agent.run([...on, '--budget', join(project.dir, 'budget.sqlite')], { env })
  expect((await kept.call('get_budget')).value).toMatchObject({ per_call: 10, per_day: 20, left: 10 })
})
