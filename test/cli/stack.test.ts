import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HD } from '@bsv/sdk'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { Overpool } from '../../index.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import { idOfPayment } from '../../shared/ledger/ids.ts'
import { packRuns, type Run } from '../../shared/store/runs.ts'
import { transactionFromHex } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { poolKeys } from '../../sidecar/cores/core.ts'
import { queueUrl } from '../aws/clients.ts'
import { Emulators, SEED } from '../aws/emulators.ts'
import type { AwsRequest, Fault, Service } from '../aws/proxy.ts'
import { awsPorts } from '../machine/aws-ports.ts'
import { largePayment } from '../machine/machine.ts'
import { Project, REPOSITORY } from './project.ts'

// The requests of the command line and the class to AWS, and their errors when AWS refuses: on a stack in memory, on which no sidecar and no handler runs.
// test/stack tests them on a stack that works.

const STACK = 'Overpool'
const HANDLER = 'main'
const small = sampleTransaction('a small one')
/** Its block is in the bucket. */
const { transaction: large } = largePayment(70_000)
const hash = transactionFromHex(large).txid
const theirs = '7e'.repeat(32)

let emulators: Emulators
let project: Project
let asked: AwsRequest[] = []
const reached = () => ({
  AWS_ENDPOINT_URL: emulators.place.endpoint,
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_PROFILE: undefined,
})

beforeAll(async () => {
  emulators = await Emulators.start()
  const { place } = emulators
  emulators.outputs = {
    Table: place.table,
    Bucket: place.bucket,
    IngressUrls: queueUrl(place, 'ingress'),
    BellsMain: `${HANDLER} ${queueUrl(place, `tx-${HANDLER}.fifo`)}`,
    RunsMain: `${HANDLER} the-log-of-main`,
    BellsBroadcaster: `broadcaster ${queueUrl(place, `tx-${HANDLER}.fifo`)}`,
    Seed: 'the-seed',
    AsksAt: 'https://pay.example/',
    Receive: HD.fromSeed([...Buffer.alloc(32, 7)])
      .toPublic()
      .toString(),
  }
  const { stores, bells, close } = await awsPorts(place)
  await bells(HANDLER)
  for (const [path, hex] of Object.entries({ mypool: small, strict: small, large, halted: small, private: small })) {
    const { key, discoveryKey } = poolKeys(Buffer.from(SEED, 'hex'), path)
    await stores.control.create({ kind: 'own', path, key, discoveryKey, createdAt: 0 })
    const { txid, bytes: tx } = transactionFromHex(hex)
    const id = idOfPayment(path, tx, {})
    const entry = encodeEntry({ kind: 'tx', id, at: 0, tx, payment: {}, source: 'http', hops: 0 })
    await stores.blocks.put(path, encodeBlock(0, 0, [entry]))
    await stores.receipts.put(path, [{ key: txid, id, txid, seq: 0, block: 0 }])
  }
  await stores.control.update('halted', { halted: 'an operator looks at it' })
  await stores.control.update('private', { desired: { encrypt: true } })
  for (const pool of ['mypool', 'strict'])
    await stores.progress.writeCursor(HANDLER, pool, { seq: -1, block: 0, attempts: 5, stopped: 'it threw' })
  await close()
  emulators.proxy.listen = (call) => asked.push(call)
  emulators.logs['the-log-of-main'] = []
  project = new Project()
  project.write('huge.hex', largePayment(1_000_000).transaction)
  project.write('payments.jsonl', `${JSON.stringify({ transaction: sampleTransaction('imported') })}\n`)
})
afterEach(() => {
  emulators.proxy.weather = () => undefined
  vi.unstubAllEnvs()
})
afterAll(async () => {
  await project?.[Symbol.asyncDispose]()
  await emulators?.[Symbol.asyncDispose]()
})

/** Runs a command on the stack to its end. */
async function runCommand(args: string[], env: NodeJS.ProcessEnv = reached()) {
  const program = project.overpool(['--stack', STACK, ...args], { env })
  const code = await program.ended()
  return { code, out: program.out, err: program.err }
}

describe('the permissions of a caller', () => {
  /** Each row of the table in docs/deploy.md, with commands that need all its permissions. */
  const rows: Record<string, string[][]> = {
    everything: [
      ['pools'],
      ['status'],
      ['check'],
      ['tail', 'mypool'],
      ['get', 'large', hash],
      ['trail', 'large', hash],
      ['verify', 'large'],
      ['export', 'large'],
      ['pull', 'large', '0'],
      ['top'],
    ],
    '`post`, `import`, `broadcast`': [
      ['post', 'mypool', '--sample'],
      ['post', 'mypool', 'huge.hex'],
      ['import', 'mypool', 'payments.jsonl'],
      ['broadcast', 'large', hash],
    ],
    '`invoice`': [
      ['invoice', 'mypool', '500', '--expires', '10', '--id', 'coffee'],
      ['invoice', 'mypool', '--get', 'coffee'],
      ['invoice', 'mypool', '--list'],
      ['invoice', 'mypool', '--cancel', 'coffee'],
    ],
    '`pub`, `unpub`, `sub`, `unsub`, `prune`, `resume`, `repair`, `watch`': [
      ['pub', 'mypool'],
      ['unpub', 'mypool'],
      ['sub', theirs],
      ['unsub', theirs],
      ['resume', 'halted'],
      ['repair', 'mypool'],
      ['watch', 'mypool', '--script', '51'],
    ],
    '`redrive`, `pause`, `unpause`, `state --set`, `replay --into`': [
      ['pause', 'mypool', '--handler', HANDLER, '--reason', 'a release'],
      ['unpause', 'mypool', '--handler', HANDLER],
      ['redrive', 'mypool'],
      ['redrive', 'strict', '--skip'],
      ['redrive', 'strict', '--error', 'threw'],
      ['redrive', 'strict', '--drop'],
      ['state', HANDLER, 'a key', '--pool', 'mypool', '--set', '1'],
      ['state', HANDLER, '--pool', 'mypool'],
    ],
    '`runs`': [
      ['runs', 'mypool'],
      ['runs', 'mypool', '--seq', '0'],
    ],
    '`id`; `pub` and `verify` of an encrypted pool': [['id'], ['pub', 'private'], ['verify', 'private']],
  }
  const table = tableOf(readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8'))

  it('are listed for all commands', () => expect(Object.keys(table)).toEqual(Object.keys(rows)))

  it.each(Object.entries(rows))(
    'for %s are those that docs/deploy.md lists, and no others',
    { timeout: 180_000 },
    async (row, commands) => {
      asked = []
      for (const command of commands) expect((await runCommand(command)).err).toBe('') // some exit with 1: a handler has stopped
      if (row.includes('prune')) await inProcess((pool) => pool.prune('mypool'))
      const names = Object.keys(table)
      const before = names.slice(0, names.indexOf(row)).flatMap((name) => table[name]!)
      const needed = [...new Set(asked.map(permissionOf))].filter((permission) => !before.includes(permission))
      expect(needed.sort()).toEqual(table[row]!.sort())
    },
  )
})

/** The permissions that each row of the table lists: the action and the resource. */
function tableOf(page: string): Record<string, string[]> {
  const [, text = ''] = /^\| for \| actions \|\n\|---\|---\|\n((?:\|.*\n)+)/m.exec(page)!
  const rows = text.trim().split('\n')
  return Object.fromEntries(rows.map((row) => row.split(' | ')).map(([name = '', cell = '']) => [name.slice(2), permissionsOf(cell)]))
}

/** This permission lets S3 answer that an object does not exist; no request needs it. */
const UNASKED = /^s3:ListBucket/

function permissionsOf(cell: string): string[] {
  return cell.split('; ').flatMap((part) => {
    const words = [...part.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word)
    const isAction = (word: string) => /^([a-z0-9]+:)?[A-Z][A-Za-z]+$/.test(word)
    const places = words.filter((word) => !isAction(word))
    const where = places.length ? places : [/ingress|bells/.exec(part)?.[0] ?? '']
    let service = ''
    return words.filter(isAction).flatMap((word) => {
      if (word.includes(':')) service = word.split(':')[0]!
      const action = word.includes(':') ? word : `${service}:${word}`
      return UNASKED.test(action) ? [] : where.map((place) => `${action} ${place}`)
    })
  })
}

/** The permission that IAM wants for a request: the action and the resource. */
function permissionOf({ service, operation, input, path }: AwsRequest): string {
  switch (service) {
    case 'dynamodb': {
      const key = (input.Item ?? input.Key)?.pk.S as string | undefined
      const reads = operation === 'GetItem' || key === undefined
      return `dynamodb:${operation} ${reads ? '' : key.replace(/#.*/, '#*')}`
    }
    case 'sqs':
      return `sqs:${operation.replace('Batch', '')} ${(input.QueueUrl as string).endsWith('.fifo') ? 'bells' : 'ingress'}`
    case 's3':
      return `s3:${operation === 'PUT' ? 'PutObject' : 'GetObject'} ${path.split('/')[2]}/*`
    default:
      return `${service}:${operation} `
  }
}

/** Works with the class, in this process. */
async function inProcess<T>(work: (pool: Overpool) => Promise<T>): Promise<T> {
  for (const [name, value] of Object.entries(reached())) vi.stubEnv(name, value)
  await using pool = new Overpool({ stack: STACK })
  return await work(pool)
}

describe('overpool runs', () => {
  const HOUR = 60 * 60_000
  /** What functions/handler/run-log.ts writes. */
  const line = (...runs: Run[]) => {
    const seqs = runs.map(({ seq }) => seq)
    const { handler, pool } = runs[0]!
    const fields = { handler, pool, first: Math.min(...seqs), last: Math.max(...seqs), runs: packRuns(runs) }
    return JSON.stringify({ level: 'INFO', message: 'runs', service: 'handler-main', ...fields })
  }
  const run = (seq: number, startedAt: number, more: object = {}): Run => {
    const common = { handler: HANDLER, pool: 'mypool', kind: 'tx', attempt: 1, ms: 3, outcome: 'ok', console: [], posts: 0 } as const
    return { ...common, console: [...common.console], seq, startedAt, ...more }
  }
  const shown = async (...args: string[]) => {
    const { code, out, err } = await runCommand(['runs', ...args, '--json'])
    expect([code, err]).toEqual([0, ''])
    return out.split('\n').flatMap((text) => (text ? [JSON.parse(text) as Run] : []))
  }

  it('finds runs in the logs of the handlers, whatever else is in there, by pool and entry, the newest ones', {
    timeout: 180_000,
  }, async () => {
    const now = Date.now()
    const failed = run(3, now - 5_000, { outcome: 'failed', error: 'Error: no such table', console: ['one "line"'], posts: 2 })
    const old = Array.from({ length: 10 }, (_, seq) => run(100 + seq, now - 90 * HOUR + seq))
    const runs = [...old, run(1, now - 40 * HOUR), run(2, now - 2 * HOUR), failed, run(3, now - 1_000, { attempt: 2 })]
    const events = [old, ...runs.slice(10, -2).map((one) => [one]), runs.slice(-2)].map((together) => ({
      timestamp: together.at(-1)!.startedAt,
      message: line(...together),
    }))
    emulators.logs['the-log-of-main'] = [
      ...events,
      { timestamp: now - 2_000, message: line({ ...run(9, now), pool: 'strict' }) },
      { timestamp: now - 2_000, message: JSON.stringify({ message: 'runs', pool: 'mypool', first: 3, last: 3, runs: 'a handler’s' }) },
      { timestamp: now - 2_000, message: 'runs mypool' },
    ]
    expect(await shown('mypool', '-n', '4')).toEqual(runs.slice(-4))
    expect(await shown('mypool', '-n', '50')).toEqual(runs)
    expect(await shown('mypool', '-n', '7')).toEqual(runs.slice(-7))
    expect(await shown('mypool', '--seq', '3')).toEqual(runs.slice(-2))
    expect(await shown('strict')).toMatchObject([{ seq: 9 }])
    expect(await shown('mypool', '--seq', '105')).toEqual([old[5]])
    expect(await inProcess((pool) => pool.runs({ path: 'mypool', limit: 1 }))).toEqual([runs.at(-1)])
  })

  it('refuses a handler that the stack does not have, and a stack of an earlier version', async () => {
    expect(await runCommand(['runs', 'mypool', '--handler', 'tea'])).toMatchObject({
      code: 1,
      err: 'overpool: this stack has no handler "tea"; there are: main\n',
    })
    const { RunsMain, ...earlier } = emulators.outputs
    emulators.outputs = earlier
    expect(await runCommand(['runs', 'mypool'])).toMatchObject({ code: 1, err: expect.stringContaining('deploy it again') })
    emulators.outputs = { ...earlier, RunsMain: RunsMain! }
  })
})

describe('a refusal by AWS becomes one sentence that says what to do', () => {
  const asking: [what: string, service: Service, args: string[], operation: string][] = [
    ['a request for the stack', 'cloudformation', ['tail', 'mypool'], 'DescribeStacks'],
    ['a request to the table', 'dynamodb', ['tail', 'mypool'], 'GetItem'],
    ['a request to a queue', 'sqs', ['post', 'mypool', '--sample'], 'SendMessageBatch'],
    ['a request to the bucket', 's3', ['get', 'large', hash], 'GET'],
    ['a request for the seed', 'secretsmanager', ['id'], 'GetSecretValue'],
    ['a request to a log', 'logs', ['runs', 'mypool'], 'FilterLogEvents'],
  ]
  const goesWrong = (service: Service, fault: Fault) => {
    emulators.proxy.weather = (request) => (request.service === service ? fault : undefined)
  }

  it.each(asking)('for %s, without permission', async (_, service, args, operation) => {
    goesWrong(service, 'denied')
    const { code, out, err } = await runCommand(args)
    expect(err).toMatch(
      new RegExp(
        `^overpool: [^\n]+ failed: these AWS credentials do not permit it: ask for the permission that docs/deploy\\.md lists \\(AccessDenied\\w*: User: tester is not authorized to perform: ${operation}\\)\n$`,
      ),
    )
    expect([code, out]).toEqual([1, ''])
  })

  it.each(asking)('for %s, with expired credentials', async (_, service, args) => {
    goesWrong(service, 'expired')
    const { code, out, err } = await runCommand(args)
    expect(err).toMatch(
      /^overpool: [^\n]+ failed: AWS does not know these credentials, or they have run out: renew them [^\n]+ \(ExpiredToken\w*: expired\)\n$/,
    )
    expect([code, out]).toEqual([1, ''])
  })

  it.each<[what: string, env: NodeJS.ProcessEnv, sentence: RegExp, code: number]>([
    [
      'no credentials',
      { AWS_ACCESS_KEY_ID: undefined },
      /^overpool: there are no AWS credentials to reach the stack "Overpool" with: set /,
      1,
    ],
    [
      'a profile that does not exist',
      { AWS_ACCESS_KEY_ID: undefined, AWS_PROFILE: 'nobody' },
      /^overpool: the AWS profile "nobody" gives no credentials to reach the stack "Overpool" with: /,
      1,
    ],
    ['no region', { AWS_REGION: undefined }, /^overpool: say in which region the stack is: by --region/, 2],
    [
      'an address at which nobody answers',
      { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' },
      /^overpool: nothing answers as AWS at AWS_ENDPOINT_URL=http:\/\/127\.0\.0\.1:1: start the emulator there, or /,
      1,
    ],
  ])('%s', async (_, env, sentence, code) => {
    const elsewhere = { AWS_EC2_METADATA_DISABLED: 'true', HOME: project.dir, AWS_DEFAULT_REGION: undefined }
    const result = await runCommand(['pools'], { ...reached(), ...elsewhere, ...env })
    expect(result).toEqual({ code, out: '', err: expect.stringMatching(sentence) })
    expect(result.err.trim().split('\n')).toHaveLength(1)
  })

  it('and for a program an error with a code', async () => {
    goesWrong('dynamodb', 'denied')
    await expect(inProcess((pool) => pool.tail({ path: 'mypool' }))).rejects.toMatchObject({ code: 'ACCESS_DENIED', retryable: false })
    goesWrong('cloudformation', 'expired')
    await expect(inProcess((pool) => pool.status())).rejects.toMatchObject({ code: 'ACCESS_DENIED', retryable: false })
  })
})
