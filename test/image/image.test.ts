import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { stackAccess } from '../../client/stack.ts'
import manifest from '../../package.json' with { type: 'json' }
import { poolKeys } from '../../sidecar/cores/core.ts'
import { pools, survives } from '../chaos/survives.ts'
import { payment, until } from '../machine/machine.ts'
import { STACK, StackMachine } from '../stack/machine.ts'
import { Container } from './container.ts'
import { docker } from './docker.ts'
import { type ContainerDefinition, readSynthesized, type TaskDefinition } from './task-definition.ts'

const ROUNDS = 3
const SECONDS = 1_000
const lacks = process.env.OVERPOOL_IMAGE_LACKS
const image = process.env.OVERPOOL_IMAGE!

const containers: Container[] = []
afterAll(async () => {
  await Promise.all(containers.map((container) => container.remove()))
})
beforeEach(({ skip }) => {
  if (lacks !== undefined) skip(lacks)
})

const taskDefinition = lacks === undefined ? readSynthesized(process.env.OVERPOOL_SYNTHESIZED!).taskDefinition : undefined
/** The same task with a whole processor and a health check each second, so that tests take less time. */
const quick = (): TaskDefinition => {
  const [container] = taskDefinition!.ContainerDefinitions
  const ContainerDefinitions: [ContainerDefinition] = [{ ...container, HealthCheck: { ...container.HealthCheck, Interval: 1 } }]
  return { ...taskDefinition!, Cpu: '1024', ContainerDefinitions }
}

/** A machine whose sidecar is in its container. Its lease is as long as on AWS, so that a sidecar that stands still for some seconds keeps it; with `dies` it is short. */
async function open(of: Record<string, object>, task: TaskDefinition, { dies = false } = {}): Promise<StackMachine> {
  const { AWS_REGION = '', AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env
  const aws = { AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY }
  return StackMachine.open(of, {}, (dir, { LEASE_MS = '', ...environment }) =>
    run(task, dir, { ...aws, ...environment, ...(dies && { LEASE_MS }) }),
  )
}

function run(task: TaskDefinition, dir: string, environment: Record<string, string>): Container {
  const container = Container.run(image, task, dir, environment)
  containers.push(container)
  return container
}

const newest = () => containers.at(-1)!

describe("the sidecar's container, as its task definition says", () => {
  let machine: StackMachine
  let container: Container
  beforeAll(async () => {
    if (lacks !== undefined) return
    machine = await open({ mypool: {} }, taskDefinition!)
    container = newest()
  })
  afterAll(async () => {
    await machine?.[Symbol.asyncDispose]()
  })

  it('does not run as root', async () => {
    expect(await container.exec('id', '-un')).toBe('node')
    expect(await container.exec('sh', '-c', 'grep ^Uid: /proc/1/status')).not.toMatch(/\b0\b/)
  })

  it('gets exactly the variables of the template, and those to reach the emulator', async () => {
    const given = (await container.exec('cat', '/proc/1/environ')).split('\0').map((variable) => variable.split('=')[0]!)
    const named = taskDefinition!.ContainerDefinitions[0].Environment.map(({ Name }) => Name)
    expect(named).not.toEqual([])
    expect(given).toEqual(expect.arrayContaining(named))
  })

  it('contains the sidecar and its packages, and no development package', async () => {
    expect((await container.exec('ls')).split('\n')).toEqual(['node_modules', 'package.json', 'shared', 'sidecar'])
    const has = (names: string[]) => container.exec('sh', '-c', `cd node_modules && ls -d ${names.join(' ')} 2>&1 || true`)
    const there = (await has(Object.keys(manifest.dependencies))).split('\n')
    expect(there.sort()).toEqual(Object.keys(manifest.dependencies).sort())
    const missing = (await has(Object.keys(manifest.devDependencies))).split('\n')
    expect(missing.filter((line) => !line.includes('No such file'))).toEqual([])
    const bytes = Number(await docker('image', 'inspect', '--format', '{{.Size}}', image))
    console.log(`the image has ${(bytes / 1e6).toFixed(0)} MB`)
  })

  it('writes posts into the ledger, and their handler runs', async () => {
    for (let i = 0; i < 5; i++) expect((await machine.post('mypool', payment(`payment ${i}`))).status).toBe(200)
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 5,
    )
    const entries = await machine.call('read', { path: 'mypool' })
    expect(entries.map((entry) => entry.payment.transaction).sort()).toEqual(
      Array.from({ length: 5 }, (_, i) => payment(`payment ${i}`).transaction).sort(),
    )
  })

  it('cannot write outside of its disk, and has not tried', async () => {
    for (const path of ['/', '/app', '/tmp', '/home/node', '/app/node_modules'])
      expect(await container.exec('sh', '-c', `touch ${path}/file 2>&1 || true`)).toMatch(/Read-only file system/)
    const changed = (await docker('diff', container.name)).split('\n').map((line) => line.slice(2))
    const init = changed.find((path) => path.endsWith('/docker-init'))! // the engine adds this file
    expect(changed.filter((path) => !init.startsWith(path))).toEqual([])
    expect((await container.exec('ls', container.disk)).split('\n')).toEqual(['alive', 'cores'])
  })

  it('has neither the seed nor a signing key in a file, a variable or its log', async () => {
    const seed = Buffer.from(await (await stackAccess({ stack: STACK })).seed())
    const { key } = await machine.call('control', 'mypool')
    const cat = ['-c', `cat /proc/1/environ $(find ${container.disk} /app/shared /app/sidecar -type f)`]
    const places = [
      ...(await Promise.all([
        bytesOf('docker', 'exec', container.name, 'sh', ...cat),
        bytesOf('docker', 'inspect', container.name, image),
        bytesOf('docker', 'logs', container.name),
      ])),
      Buffer.from(container.lines.join('\n')),
    ]
    const found = (bytes: Buffer) => places.some((place) => formsOf(bytes).some((form) => place.includes(form)))
    expect(found(Buffer.from(key, 'hex')), 'the search finds the public key').toBe(true)
    expect(found(seed)).toBe(false)
    const { secretKey } = poolKeys(seed, machine.nameOf('mypool')).keyPair
    expect(found(Buffer.from(secretKey.subarray(0, 32)))).toBe(false) // the second half of a secret key is the public key
  })

  it('ends in order when it is stopped, within the time that ECS gives it, and leaves no lease', async () => {
    expect(await leaseOf(container)).toBeDefined()
    await machine.post('mypool', payment('the last one'))
    const began = performance.now()
    await docker('stop', container.name)
    const { StopTimeout } = taskDefinition!.ContainerDefinitions[0]
    expect(performance.now() - began).toBeLessThan(StopTimeout * SECONDS)
    expect(await container.ended()).toBe(0)
    expect(await leaseOf(container)).toBeUndefined()
    expect(await machine.verify('mypool')).toMatchObject({ problems: 0 })
  })
})

it('ends without being killed when it is stopped during its start', async () => {
  await using machine = await open({}, quick())
  const { dir, environment } = newest()
  const container = run(taskDefinition!, join(dir, 'next'), environment)
  await until(
    () => docker('inspect', '--format', '{{.State.Running}}', container.name).catch(() => ''),
    (running) => running === 'true',
  )
  await docker('stop', container.name)
  expect(await container.ended()).not.toBe(137)
  await machine.stop()
})

// Three waits for a health check, each of which starts a Node on a quarter of a busy processor.
it('is healthy while its loops run, and unhealthy when they stand still', { timeout: 400 * SECONDS }, async () => {
  await using machine = await open({ mypool: {} }, quick())
  const { name } = newest()
  const becomes = (health: string) =>
    until(
      () => docker('inspect', '--format', '{{.State.Health.Status}}', name),
      (is) => is === health,
    )
  await becomes('healthy')
  // sends a signal to all processes but the first, which is an init
  const signalAll = (signal: string) => newest().exec('sh', '-c', `kill -s ${signal} -- -1`)
  await signalAll('STOP')
  await newest().exec('touch', '--date=1 minute ago', `${newest().disk}/alive`) // as if the sidecar had stood still for a minute
  await becomes('unhealthy')
  await signalAll('CONT')
  await becomes('healthy')
  await machine.stop()
})

it(`loses nothing and writes nothing twice through ${ROUNDS} deaths under load, each with the loss of its disk`, {
  timeout: ROUNDS * 20 * SECONDS + 120 * SECONDS,
}, async () => {
  await using machine = await open(pools, quick(), { dies: true })
  await survives(machine, ROUNDS, async (_, noMorePosts) => {
    await machine.kill()
    noMorePosts()
    await machine.start()
  })
})

/** The forms in which bytes can appear: raw, hex and base64. */
function formsOf(bytes: Buffer): Buffer[] {
  return [bytes, ...(['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(bytes.toString(form).replace(/=+$/, '')))]
}

async function bytesOf(command: string, ...args: string[]): Promise<Buffer> {
  const { stdout, stderr } = await promisify(execFile)(command, args, { encoding: 'buffer', maxBuffer: 1024 * 1024 * 1024 })
  return Buffer.concat([stdout, stderr])
}

/** The item of the sidecar's lease. */
async function leaseOf({ environment: { TABLE, SHARD } }: Container): Promise<unknown> {
  const Key = { pk: { S: `lease#${SHARD}` }, sk: { S: 'lease' } }
  return (await new DynamoDBClient({}).send(new GetItemCommand({ TableName: TABLE, Key, ConsistentRead: true }))).Item
}
