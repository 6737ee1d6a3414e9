import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Validations } from 'aws-cdk-lib'
import type { Template } from 'aws-cdk-lib/assertions'
import { AwsSolutionsChecks } from 'cdk-nag'
import { beforeAll, describe, expect, it } from 'vitest'
import { readProgram } from '../../cdk/read.ts'
import { ENV } from '../../shared/config/env.ts'
import type { MachinePlan } from '../../shared/config/plan.ts'
import { partitionsOf, type StoreName } from '../../shared/store/dynamodb/partitions.ts'
import { REPOSITORY } from '../cli/project.ts'
import { actionsOf, allowed, Project, resourcesOf, type Statement, synthesize } from './synth.ts'

const NODE_SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:node-0a1b2c'
const BITCOIN = `{ network: 'main',
  broadcast: [{ arc: 'https://arc.example', apiKey: { secret: 'arc-key' } }, async function mine() {}],
  chain: [{ node: 'https://node.example', user: 'me', password: { secret: '${NODE_SECRET}' } }] }`
const CONFIG = `{ handler: './main.ts', bitcoin: ${BITCOIN}, pools: {
  mypool: { commit: (event) => event.payment.memo !== 'keep' },
  shop: { watch: { addresses: ['1BoatSLRHtKNngkdXEeobR76b53LETtpyT'] } },
  books: { door: false },
  memo: { grid: { chain: { filter: { prefixes: ['0x6d02'] } } } } } }`

let template: Template
beforeAll(async () => {
  template = (await synthesize(CONFIG)).template
})

/** The environment of the function whose id begins so. */
function environmentOf(id: string): Record<string, unknown> {
  return Object.entries(resourcesOf(template, 'AWS::Lambda::Function')).find(([name]) => name.startsWith(id))![1].Properties.Environment
    .Variables
}

function partitions(statements: Statement[], action: string): string[] {
  return statements.flatMap(({ Action, Condition }) =>
    [Action].flat().includes(action) ? [Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'] ?? '*'].flat() : [],
  )
}

const of = (...stores: StoreName[]) => stores.flatMap(partitionsOf).sort()

/** The secrets that a role may read, as the template names them. */
function secretsOf(role: string): string {
  return JSON.stringify(
    allowed(template, role).flatMap(({ Action, Resource }) =>
      [Action].flat().includes('secretsmanager:GetSecretValue') ? [Resource] : [],
    ),
  )
}

describe('the stack of a machine that takes part in Bitcoin', () => {
  it('has a function for the broadcaster, with a queue of bells and one of dead letters', () => {
    const queues = Object.keys(resourcesOf(template, 'AWS::SQS::Queue'))
    expect(queues.filter((id) => id.startsWith('Broadcaster'))).toHaveLength(2)
    const outputs = template.toJSON().Outputs as Record<string, { Value: unknown }>
    expect(JSON.stringify(outputs.BellsBroadcaster!.Value)).toContain('broadcaster ')
  })

  it('has no address of a pool that wallets cannot post into', () => {
    const outputs = Object.keys(template.toJSON().Outputs as object).filter((name) => name.startsWith('Pool'))
    expect(outputs).toEqual(['PoolMypool', 'PoolShop'])
  })

  it('gives each of its functions, and the sidecar, the environment that it reads', () => {
    expect(Object.keys(environmentOf('Broadcaster')).sort()).toEqual([...ENV.broadcaster.required].sort())
    expect(Object.keys(environmentOf('Payments')).sort()).toEqual([...ENV.payments.required, 'TABLE', 'CALLBACKS_ARN'].sort())
    const [task] = Object.values(resourcesOf(template, 'AWS::ECS::TaskDefinition'))
    const names = task!.Properties.ContainerDefinitions[0].Environment.map(({ Name }: { Name: string }) => Name)
    expect(names.sort()).toEqual([...ENV.sidecar.required, 'CALLBACKS_ARN'].sort())
  })

  it('lets the broadcaster read what it hands over and what is known of it, write its own progress, and post', () => {
    const statements = allowed(template, 'BroadcasterRole')
    expect(partitions(statements, 'dynamodb:GetItem').sort()).toEqual(of('blocks', 'receipts', 'statuses', 'control', 'progress'))
    expect(partitions(statements, 'dynamodb:PutItem').sort()).toEqual(of('progress'))
    expect(actionsOf(statements)).toContain('sqs:SendMessage')
    expect(actionsOf(statements)).not.toContain('dynamodb:BatchWriteItem')
  })

  it('lets the door read receipts, statuses and the desired state of pools, and write no store', () => {
    const statements = allowed(template, 'Payments')
    expect(partitions(statements, 'dynamodb:GetItem').sort()).toEqual(of('receipts', 'statuses', 'control'))
    expect(partitions(statements, 'dynamodb:PutItem')).toEqual([])
  })

  it('lets the broadcaster and the sidecar read the secrets that the config names, the door only the one of callbacks, and a handler none', () => {
    for (const role of ['BroadcasterRole', 'SidecarShard0TaskTaskRole']) {
      for (const secret of [NODE_SECRET, ':secret:arc-key-??????', 'BitcoinCallbacks']) expect(secretsOf(role), role).toContain(secret)
    }
    expect(secretsOf('BroadcasterRole')).not.toContain('LedgerSeed')
    expect(secretsOf('Payments')).toContain('BitcoinCallbacks')
    for (const secret of ['arc-key', NODE_SECRET, 'LedgerSeed']) expect(secretsOf('Payments')).not.toContain(secret)
    expect(secretsOf('Handlermain')).toBe('[]')
    expect(JSON.stringify(template.toJSON())).not.toContain('{{resolve:')
  })

  it('tells the sidecar of the broadcaster’s queue, of the services with an address, of the chain, and of the names of secrets', () => {
    const [task] = Object.values(resourcesOf(template, 'AWS::ECS::TaskDefinition'))
    const { Value } = task!.Properties.ContainerDefinitions[0].Environment.find(({ Name }: { Name: string }) => Name === 'MACHINE')
    const plan = JSON.parse(
      Value['Fn::Join'][1].map((part: unknown) => (typeof part === 'string' ? part : JSON.stringify(part).replaceAll('"', "'"))).join(''),
    ) as MachinePlan
    expect(plan.broadcaster).toMatchObject({ commits: ['mypool'] })
    expect(plan.broadcaster!.url).toContain('BroadcasterBells')
    expect(plan.bitcoin!.broadcast).toEqual([{ arc: 'https://arc.example', apiKey: { secret: 'arc-key' } }])
    expect(plan.bitcoin!.chain).toEqual([{ node: 'https://node.example', user: 'me', password: { secret: NODE_SECRET } }])
    expect(plan.pools.memo!.grid).toEqual({ chain: { filter: { prefixes: ['0x6d02'] } } })
    expect(plan.pools.shop!.watch).toEqual({ addresses: ['1BoatSLRHtKNngkdXEeobR76b53LETtpyT'] })
  })

  it('has services call back at the door: at its function’s URL, at its domain, or where the config says', async () => {
    expect(JSON.stringify(environmentOf('Broadcaster').DOOR_URL)).toContain('FunctionUrl')
    const at = async (more: string) => {
      template = (await synthesize(CONFIG.replace("network: 'main'", `network: 'main'${more}`))).template
      return environmentOf('Broadcaster').DOOR_URL
    }
    const before = template
    expect(await at(", callbacks: 'https://pay.example'")).toBe('https://pay.example')
    const domain = "}, aws: { domain: { name: 'pay.example.com', zone: { id: 'Z0123456789ABC', name: 'example.com' } } } }"
    template = (await synthesize(CONFIG.replace(/\} \}$/, domain))).template
    expect(environmentOf('Broadcaster').DOOR_URL).toBe('https://pay.example.com/')
    template = before
  })

  it('has alarms on the broadcaster’s dead letters, on a transaction that is not seen, and on a chain without a block', async () => {
    const articles = (of: Template) =>
      Object.values(resourcesOf(of, 'AWS::CloudWatch::Alarm')).map(
        ({ Properties }) => /See docs\/runbook\.md#([a-z0-9-]+)$/.exec(Properties.AlarmDescription)?.[1],
      )
    expect(articles(template)).toEqual(expect.arrayContaining(['broadcaster-dead-letters', 'no-block', 'unseen']))
    const runbook = readFileSync(join(REPOSITORY, 'docs/runbook.md'), 'utf8')
    for (const article of articles(template)) expect(runbook).toContain(`\n## ${article}\n`)
    const regtest = (await synthesize("{ pools: {}, bitcoin: { network: 'regtest', chain: [{ node: 'http://node.example' }] } }", {}))
      .template
    expect(articles(regtest)).not.toContain('no-block')
    for (const { Properties } of Object.values(resourcesOf(template, 'AWS::Logs::MetricFilter'))) {
      const [{ MetricName, MetricValue }] = Properties.MetricTransformations
      if (MetricName === 'sidecarBlockAge0') expect(MetricValue).toBe('$.blockAgeS')
      if (MetricName === 'sidecarUnseen0') expect(MetricValue).toBe('$.unseen')
    }
  })

  it('has no circular dependencies, and keeps the rules of cdk-nag', { timeout: 120_000 }, async () => {
    for (const config of [CONFIG, "{ pools: { a: {} }, bitcoin: { network: 'test', chain: [{ services: true }] } }"]) {
      const { app } = await synthesize(config)
      Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
      app.synth({ force: true })
    }
  })

  it('has no broadcaster and no callbacks where nothing takes transactions', async () => {
    const reading = (await synthesize("{ pools: { a: {} }, bitcoin: { network: 'test', chain: [{ services: true }] } }", {})).template
    expect(Object.keys(resourcesOf(reading, 'AWS::Lambda::Function')).filter((id) => id.startsWith('Broadcaster'))).toEqual([])
    expect(actionsOf(allowed(reading, 'Payments')).filter((action) => action.startsWith('secretsmanager'))).toEqual([])
  })
})

describe('a config that a machine on AWS cannot carry out is refused, with what to do:', () => {
  const bitcoin = (rest: string) => `{ pools: {}, bitcoin: { network: 'main', ${rest} } }`
  it.each([
    [
      'a secret in an environment variable',
      bitcoin("broadcast: [{ arc: 'https://arc.example', apiKey: { env: 'ARC_KEY' } }]"),
      "bitcoin.broadcast[0].apiKey: on AWS a secret is in Secrets Manager, where neither the template nor the console shows it: put it there as plain text, and write { secret: 'its name' }",
    ],
    [
      'a secret in a file',
      bitcoin("chain: [{ services: true }, { node: 'https://node.example', password: { file: '/etc/password' } }]"),
      'bitcoin.chain[1].password: on AWS a secret is in Secrets Manager',
    ],
    [
      'an ARN without its end',
      bitcoin(
        "broadcast: [{ arc: 'https://arc.example', apiKey: { secret: 'arn:aws:secretsmanager:us-east-1:123456789012:secret:arc' } }]",
      ),
      'bitcoin.broadcast[0].apiKey is the name of a secret, or its complete ARN',
    ],
    ['a folder of blocks', bitcoin("chain: [{ blocks: './blocks' }]"), 'bitcoin.chain[0] is a folder, and the sidecar on AWS has none'],
    ['functions alone to broadcast by', bitcoin('broadcast: [async () => {}]'), 'bitcoin.broadcast has only functions'],
    [
      'a grid whose filter is a function',
      "{ pools: { a: { grid: { chain: { filter: { match: () => true } } } } }, bitcoin: { network: 'test', chain: [{ node: 'https://node.example' }] } }",
      'pools.a.grid.chain.filter.match is a function, and the sidecar on AWS runs no code of yours',
    ],
    ['a grid without a chain', '{ pools: { a: { grid: { chain: {} } } } }', '`bitcoin.chain` does not say where that is read'],
    [
      'an address to watch that is none',
      "{ pools: { a: { watch: { addresses: ['nobody'] } } }, bitcoin: { network: 'test' } }",
      'pools.a.watch.addresses[0]',
    ],
    [
      'payments to broadcast, and nobody to broadcast to',
      "{ pools: { a: { commit: 'always' } } }",
      'pools.a.commit hands payments to Bitcoin, and `bitcoin` names nobody who takes them',
    ],
    [
      'a handler with the name of the broadcaster',
      "{ pools: { a: { handler: './broadcaster.ts' } }, bitcoin: { network: 'main' } }",
      'the handler ./broadcaster.ts has the name of the built-in broadcaster',
    ],
  ])('%s', async (_, config, sentence) => {
    using project = new Project(config, { 'broadcaster.ts': 'export async function onTx() {}\n' })
    await expect(readProgram(project.config)).rejects.toThrow(sentence)
  })
})
