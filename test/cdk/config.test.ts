import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readProgram } from '../../cdk/read.ts'
import { checkConfig } from '../../shared/config/config.ts'
import { ADOPTED, HANDLER, Project } from './synth.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const KEY = 'd7'.repeat(32)

const WRONG: [aws: unknown, sentence: string][] = [
  [7, 'aws is an object'],
  [{ shard: 2 }, 'there is no setting `aws.shard`; there are domain, throttle,'],
  [{ shards: 0 }, 'aws.shards is a whole number from 1 to 64'],
  [{ shards: 1.5 }, 'aws.shards is a whole number from 1 to 64'],
  [{ reservedConcurrency: -1 }, 'aws.reservedConcurrency is a whole number of at least 0'],
  [{ sidecar: { cpu: 300 } }, 'aws.sidecar.cpu is one of 256, 512, 1024, 2048, 4096'],
  [{ sidecar: { cpu: 256, memory: 4096 } }, 'aws.sidecar.memory is, with cpu 256, from 512 to 2048 MiB'],
  [{ sidecar: { cpu: 1024 } }, 'aws.sidecar.memory is, with cpu 1024, from 2048 to 8192 MiB'],
  [{ sidecar: { spot: 'yes' } }, 'aws.sidecar.spot is true or false'],
  [{ sidecar: { gpu: 1 } }, 'there is no setting `aws.sidecar.gpu`'],
  [{ retain: 'no' }, 'aws.retain is true or false'],
  [{ traces: 1 }, 'aws.traces is true or false'],
  [{ alarmEmail: 'me' }, 'aws.alarmEmail is an address'],
  [{ domain: { name: 'pay' } }, 'aws.domain.name is a domain of yours'],
  [{ domain: { name: 'pay.example.com' } }, 'aws.domain needs `zone`'],
  [{ domain: { name: 'pay.example.com', zone: { id: 'x', name: 'example.com' } } }, 'aws.domain.zone.id is the id of a Route 53 zone'],
  [{ domain: { name: 'pay.example.com', zone: { id: 'Z01', name: 'example.org' } } }, 'which does not lie in aws.domain.zone.name'],
  [{ domain: { name: 'pay.example.com', certificate: 'mine' } }, 'aws.domain.certificate is the ARN'],
  [{ throttle: { rate: 1, burst: 1 } }, 'aws.throttle works at a domain'],
  [{ vpc: { id: 'mine', availabilityZones: ['a'], publicSubnets: ['b'] } }, 'aws.vpc.id is the id of a VPC'],
  [{ vpc: { id: 'vpc-0a', availabilityZones: ['a'], publicSubnets: [] } }, 'aws.vpc.publicSubnets lists one'],
  [{ vpc: { id: 'vpc-0a', availabilityZones: ['a'], publicSubnets: ['b', 'c'] } }, 'are of one length'],
  [{ ledger: { table: 'a table' } }, 'aws.ledger.table is the name of a DynamoDB table'],
  [{ ledger: { table: 'Table', bucket: 'B', seed: '' } }, 'aws.ledger.bucket is the name of an S3 bucket'],
  [{ ledger: { table: 'Table', bucket: 'bucket', seed: 'Seed' } }, 'aws.ledger.seed is the complete ARN of a secret'],
  [{ budget: { dollars: 0, email: 'me@example.com' } }, 'aws.budget.dollars is a whole number of at least 1'],
  [{ budget: { dollars: 9, email: 'me' } }, 'aws.budget.email is an address'],
]

describe('a config that is wrong for AWS fails before anything is deployed, and names the setting:', () => {
  it.each(WRONG)('aws: %j: %s', (aws, sentence) => {
    expect(() => checkConfig({ pools: {}, aws })).toThrow(sentence)
  })

  it('but a valid config is accepted', () => {
    const aws = {
      domain: { name: 'pay.example.com', zone: { id: 'Z0123456789ABC', name: 'example.com' } },
      throttle: { rate: 100, burst: 200 },
      reservedConcurrency: 10,
      shards: 64,
      sidecar: { cpu: 1024, memory: 3072, spot: true },
      retain: false,
      ledger: ADOPTED,
      alarmEmail: 'me@example.com',
      vpc: { id: 'vpc-0a1b', availabilityZones: ['us-east-1a'], publicSubnets: ['subnet-1'] },
      budget: { dollars: 20, email: 'me@example.com' },
      traces: true,
    }
    expect(checkConfig({ pools: {}, aws }).aws).toEqual(aws)
  })

  it.each([
    [
      'a handler that does not exist',
      "{ pools: { a: { handler: './coffee.ts' } } }",
      'names a handler ./coffee.ts, and there is no such file',
    ],
    ['a handler without onTx', "{ pools: { a: { handler: './empty.ts' } } }", './empty.ts exports no onTx'],
    ['a handler with a syntax error', "{ pools: { a: { handler: './broken.ts' } } }", 'broken.ts:2:'],
    ['two handlers with the same name', "{ pools: { a: { handler: './main.ts' }, b: { handler: './main.js' } } }", 'have the same name'],
    [
      'a handler that takes longer than a function may run',
      "{ pools: { a: { handler: './main.ts', timeoutMs: 900_000 } } }",
      'pools.a.timeoutMs is a whole number from 1 to 300000',
    ],
    [
      'an encryption key, which would be readable in the template',
      `{ pools: {}, subscribe: ['${KEY}.${KEY}'] }`,
      'subscribe[0] holds an encryption key',
    ],
  ])('%s', async (_, config, sentence) => {
    using project = new Project(config, {
      'main.ts': HANDLER,
      'main.js': HANDLER,
      'empty.ts': 'export {}\n',
      'broken.ts': '\nexport const = 1\n',
    })
    await expect(readProgram(project.config)).rejects.toThrow(sentence)
  })

  it('on the command line with that sentence and nothing else', () => {
    using project = new Project('{ pools: {}, aws: { shards: 0 } }', {})
    const { status, stderr } = spawnSync(process.execPath, ['cdk/app.ts'], {
      cwd: ROOT,
      env: { ...process.env, CDK_CONTEXT_JSON: JSON.stringify({ config: project.config }) },
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([1, 'overpool: the config is wrong: aws.shards is a whole number from 1 to 64\n'])
  })
})
