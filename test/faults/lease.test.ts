import { afterEach, beforeEach, expect, it } from 'vitest'
import { S3Blobs } from '../../shared/blobs/s3.ts'
import { systemClock } from '../../shared/clock.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import type { Stores } from '../../shared/store/port.ts'
import { Lease } from '../../sidecar/lease.ts'
import { type AwsClients, ancestorsIn, awsClients } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import type { AwsRequest } from '../aws/proxy.ts'
import { HandClock } from '../hand-clock.ts'
import { until } from '../machine/machine.ts'

// Two sidecars ask for the lease of one shard, in DynamoDB, by a clock that the tests wind.

const LEASE_MS = 20_000
const RENEW_MS = 5_000
const ASK_MS = 1_000

let emulators: Emulators
let clients: AwsClients
let clock: HandClock
let stores: Stores
let asked: string[]
let reports: unknown[]

beforeEach(async () => {
  emulators = await Emulators.start()
  const { place, proxy } = emulators
  clients = awsClients(place.endpoint)
  clock = new HandClock()
  const blobs = new S3Blobs({ client: clients.s3, bucket: place.bucket, prefix: 'blocks/' })
  stores = dynamoStores({ client: clients.dynamodb, table: place.table, blobs, ancestors: ancestorsIn(clients, place), clock, giveUpMs: 1 })
  asked = []
  reports = []
  proxy.listen = (call) => call.operation === 'UpdateItem' && asked.push(ownerOf(call))
})
afterEach(async () => {
  clients.close()
  await emulators[Symbol.asyncDispose]()
})

function ownerOf({ input }: AwsRequest): string {
  return input.ExpressionAttributeValues[':owner'].S
}

/** A sidecar that asks until it has the lease. */
function contender(owner: string, signal = new AbortController().signal) {
  const taking = Lease.acquire({ stores, clock, shard: '0', owner, leaseMs: LEASE_MS, report: (error) => reports.push(error) }, signal)
  const seen: { takenAt?: number; lostAt?: number } = {}
  void taking.then((lease) => {
    if (lease) seen.takenAt = clock.now()
    void lease?.lost.then(() => (seen.lostAt = clock.now()))
  })
  return { taking, seen }
}

/** Resolves when the sidecars sleep for these times. */
async function sleeping(...ms: number[]): Promise<void> {
  await until(
    () => clock.sleeping,
    (now) => String(now) === String(ms),
  )
}

it('of two sidecars one holds the lease, for as long as it renews it', async () => {
  const first = contender('first')
  await first.taking
  const second = contender('second')
  for (let second = 0; second < 60; second++) {
    await sleeping(ASK_MS, RENEW_MS)
    clock.wind(1_000)
  }
  await sleeping(ASK_MS, RENEW_MS)
  expect(asked.filter((owner) => owner === 'first')).toHaveLength(1 + 60_000 / RENEW_MS)
  expect(asked.filter((owner) => owner === 'second')).toHaveLength(1 + 60_000 / ASK_MS)
  expect([first.seen.lostAt, second.seen.takenAt, reports]).toEqual([undefined, undefined, []])
})

it('a released lease goes to the other sidecar within a second', async () => {
  const first = contender('first')
  const lease = (await first.taking)!
  const second = contender('second')
  await sleeping(ASK_MS, RENEW_MS)
  await lease.release()
  clock.wind(ASK_MS)
  await second.taking
  await sleeping(RENEW_MS)
  expect(first.seen.lostAt, 'a released lease is not lost').toBeUndefined()
})

it('a lease that is released while it is being renewed stays released', async () => {
  const first = contender('first')
  const lease = (await first.taking)!
  await sleeping(RENEW_MS)
  emulators.proxy.weather = () => 'late'
  clock.wind(RENEW_MS)
  await new Promise(setImmediate) // the renewal is sent
  await lease.release()
  emulators.proxy.weather = () => undefined
  expect(asked).toEqual(['first', 'first'])
  expect(await stores.leases.take('0', 'second', LEASE_MS)).toBe(true)
})

it('a lease that cannot be renewed counts as lost well before another sidecar can take it', async () => {
  const first = contender('first')
  await first.taking
  const second = contender('second')
  await sleeping(ASK_MS, RENEW_MS)
  clock.wind(RENEW_MS)
  await sleeping(ASK_MS, RENEW_MS)
  const renewed = clock.now()
  emulators.proxy.weather = (request) => (request.operation === 'UpdateItem' && ownerOf(request) === 'first' ? 'failed' : undefined)
  clock.wind(RENEW_MS + 2_000) // its process stood still: it renews late, gets no answer, and tries again
  while (second.seen.takenAt === undefined) {
    await until(
      () => [second.seen.takenAt ?? 'asks', first.seen.lostAt ?? 'asks', clock.sleeping.filter((ms) => ms <= ASK_MS).length],
      ([taken, lost, sleeping]) => taken !== 'asks' || sleeping === (lost === 'asks' ? 2 : 1),
    )
    clock.wind(1_000)
  }
  expect(reports.length).toBeGreaterThan(1)
  expect(second.seen.takenAt - renewed).toBeGreaterThanOrEqual(LEASE_MS)
  expect(second.seen.takenAt - first.seen.lostAt!, 'time to finish the work in progress').toBeGreaterThanOrEqual(RENEW_MS)
})

it('a sidecar that slept while another took the lease counts it as lost at its next renewal', async () => {
  const sleeper = contender('sleeper')
  await sleeper.taking
  await sleeping(RENEW_MS)
  let slept = 0
  const other = dynamoStores({
    client: clients.dynamodb,
    table: emulators.place.table,
    blobs: new S3Blobs({ client: clients.s3, bucket: emulators.place.bucket, prefix: 'blocks/' }),
    ancestors: stores.ancestors,
    clock: { ...systemClock, elapsed: () => slept },
  })
  expect(await other.leases.take('0', 'other', LEASE_MS)).toBe(false)
  slept = LEASE_MS
  expect(await other.leases.take('0', 'other', LEASE_MS)).toBe(true)
  clock.wind(RENEW_MS)
  await until(
    () => sleeper.seen.lostAt,
    (at) => at === clock.now(),
  )
})

it('a sidecar that is stopped while it waits for a lease never gets it', async () => {
  const first = contender('first')
  const lease = (await first.taking)!
  const stop = new AbortController()
  const second = contender('second', stop.signal)
  await sleeping(ASK_MS, RENEW_MS)
  stop.abort()
  expect(await second.taking).toBeUndefined()
  await lease.release()
  expect(await stores.leases.take('0', 'third', LEASE_MS)).toBe(true)
})
