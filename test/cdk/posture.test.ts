import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { App, Stack, Validations } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { Queue } from 'aws-cdk-lib/aws-sqs'
import { AwsSolutionsChecks } from 'cdk-nag'
import { beforeAll, describe, expect, it } from 'vitest'
import { Ledger, type Rights } from '../../cdk/ledger.ts'
import { ENV } from '../../shared/config/env.ts'
import { partitionsOf, STORES } from '../../shared/store/dynamodb/partitions.ts'
import { ADOPTED, actionsOf, allowed, HANDLER, Project, resourcesOf, type Statement, synthesize, synthesizeProject } from './synth.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CONFIG = "{ handler: './main.ts', pools: { mypool: {}, coffee: { handler: './coffee.ts' } } }"
const FILES = { 'main.ts': HANDLER, 'coffee.ts': HANDLER }

let template: Template
beforeAll(async () => {
  template = (await synthesize(CONFIG, FILES)).template
})

/** All resources, with their ids. */
function all(of: Template) {
  return Object.entries(
    of.toJSON().Resources as Record<string, { Type: string; Properties?: Record<string, unknown>; DeletionPolicy?: string }>,
  )
}

/** Synthesizes as the command line does; throws the broken rules of cdk-nag. */
function check(app: App): void {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
  app.synth({ force: true })
}

/** The stores that these statements allow to read, and to write. */
function storesOf(statements: Statement[]) {
  const may = (action: string) =>
    STORES.filter((store) =>
      statements.some(({ Action, Condition }) => {
        const keys = Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys']
        return [Action].flat().includes(action) && (keys === undefined || partitionsOf(store).every((key) => keys.includes(key)))
      }),
    )
  return { read: may('dynamodb:GetItem'), write: may('dynamodb:PutItem') }
}

describe('the stack', () => {
  it('gives each function, and the sidecar, exactly the environment that it reads', () => {
    const functions = Object.entries(resourcesOf(template, 'AWS::Lambda::Function'))
    expect(functions).toHaveLength(3)
    for (const [id, { Properties }] of functions) {
      const part = id.startsWith('Payments') ? 'payments' : 'handler'
      expect(Object.keys(Properties.Environment.Variables).sort(), id).toEqual([...ENV[part].required].sort())
    }
    const [task] = Object.values(resourcesOf(template, 'AWS::ECS::TaskDefinition'))
    const names = task!.Properties.ContainerDefinitions[0].Environment.map(({ Name }: { Name: string }) => Name)
    expect(names.sort()).toEqual([...ENV.sidecar.required].sort())
  })

  it('replaces the sidecar before the functions that post, so that the new sidecar knows a new pool at its first post', () => {
    const [service] = Object.keys(resourcesOf(template, 'AWS::ECS::Service'))
    for (const [id, { DependsOn }] of Object.entries(resourcesOf(template, 'AWS::Lambda::Function')))
      expect(DependsOn, id).toContain(service)
  })

  it('lets only the sidecar write blocks, receipts and leases', () => {
    const writes = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:BatchWriteItem']
    const writing = (statements: Statement[]) =>
      statements.filter(({ Action }) => [Action].flat().some((action) => writes.includes(action)))
    expect(writing(allowed(template, 'Payments'))).toEqual([])
    const handlers = writing(allowed(template, 'Handler'))
    expect(handlers).toHaveLength(2)
    for (const { Condition, Action } of handlers) {
      expect(Condition).toEqual({
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cursor#*', 'dead#*', 'state#*', 'journal#*', 'control'] },
      })
      expect(Action).not.toContain('dynamodb:BatchWriteItem')
    }
    expect(writing(allowed(template, 'SidecarShard0TaskTaskRole'))).toHaveLength(1)
    const blocks = (statements: Statement[]) =>
      statements.filter(({ Action, Resource }) => [Action].flat().includes('s3:PutObject') && JSON.stringify(Resource).includes('blocks/'))
    expect(blocks([...allowed(template, 'Payments'), ...allowed(template, 'Handler')])).toEqual([])
    expect(blocks(allowed(template, 'SidecarShard0TaskTaskRole'))).toHaveLength(1)
  })

  it('lets the door use no store, a handler read all and write its progress, its state and the desired state of pools, and the sidecar read and write all', () => {
    expect(storesOf(allowed(template, 'Payments'))).toEqual({ read: [], write: [] })
    for (const handler of ['HandlermainRole', 'HandlercoffeeRole'])
      expect(storesOf(allowed(template, handler)), handler).toEqual({ read: STORES, write: ['control', 'progress', 'state'] })
    expect(storesOf(allowed(template, 'SidecarShard0TaskTaskRole'))).toEqual({ read: STORES, write: STORES })
  })

  it('grants rights on a single store', () => {
    const rightsOf = (rights: Rights) => {
      const stack = new Stack(new App(), 'Stack')
      const role = new Role(stack, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') })
      new Ledger(stack, { retain: true, adopted: undefined }).grant(role, rights)
      return allowed(Template.fromStack(stack), 'Role')
    }
    for (const store of STORES) {
      expect(storesOf(rightsOf({ read: [store] }))).toEqual({ read: [store], write: [] })
      expect(storesOf(rightsOf({ write: [store] }))).toEqual({ read: [], write: [store] })
    }
    const onBucket = (rights: Rights) => actionsOf(rightsOf(rights)).filter((action) => action.startsWith('s3:'))
    expect(onBucket({ read: ['blocks'] })).toEqual(['s3:GetObject', 's3:ListBucket'])
    expect(onBucket({ write: ['blocks'] })).toEqual(['s3:PutObject'])
    expect(onBucket({ read: ['receipts'], write: ['control'] })).toEqual([])
    expect(actionsOf(rightsOf({ write: ['receipts'] }))).toContain('dynamodb:BatchWriteItem')
    expect(actionsOf(rightsOf({ write: ['control'] }))).not.toContain('dynamodb:BatchWriteItem')
  })

  it('lets the door put posts into the ingress queue, and their bodies and what comes along with them into the bucket, and nothing else', () => {
    const statements = allowed(template, 'Payments')
    expect(actionsOf(statements)).toEqual([
      'logs:CreateLogStream',
      'logs:PutLogEvents',
      's3:PutObject',
      'sqs:GetQueueAttributes',
      'sqs:GetQueueUrl',
      'sqs:SendMessage',
    ])
    const puts = statements.filter(({ Action }) => Action === 's3:PutObject').map(({ Resource }) => JSON.stringify(Resource))
    for (const prefix of ['messages/*', 'ancestors/*']) expect(puts.join()).toContain(prefix)
  })

  it('lets the door of a pool with a filter read the receipts as well, and no other store', async () => {
    const { template } = await synthesize("{ handler: './main.ts', pools: { mypool: { filter: () => true } } }")
    const statements = allowed(template, 'Payments')
    expect(storesOf(statements)).toEqual({ read: ['receipts'], write: [] })
    const [door] = Object.entries(resourcesOf(template, 'AWS::Lambda::Function')).filter(([id]) => id.startsWith('Payments'))
    expect(Object.keys(door![1].Properties.Environment.Variables)).toContain('TABLE')
  })

  it('lets only the sidecar read the seed, by the secret’s name', () => {
    for (const role of ['Payments', 'Handler', 'SidecarShard0TaskExecution'])
      expect(actionsOf(allowed(template, role)).filter((action) => action.startsWith('secretsmanager'))).toEqual([])
    expect(actionsOf(allowed(template, 'SidecarShard0TaskTaskRole'))).toContain('secretsmanager:GetSecretValue')
    const [secret] = Object.values(resourcesOf(template, 'AWS::SecretsManager::Secret'))
    expect(secret!.Properties).not.toHaveProperty('SecretString')
    expect(JSON.stringify(template.toJSON())).not.toContain('{{resolve:')
  })

  it('allows no role all actions, nor all resources but for an action that has none', () => {
    for (const { Action, Resource } of allowed(template, '')) {
      for (const action of [Action].flat()) expect(action).not.toContain('*')
      if (Resource === '*') expect(Action).toBe('ecr:GetAuthorizationToken')
    }
    for (const { Properties } of Object.values(resourcesOf(template, 'AWS::IAM::Role')))
      expect(Properties.ManagedPolicyArns ?? []).toEqual([])
  })

  it('keeps tables, bucket, seed and queued posts when the stack is deleted, unless the config says otherwise', async () => {
    const held = ['AWS::DynamoDB::Table', 'AWS::S3::Bucket', 'AWS::SecretsManager::Secret']
    const ingress = (id: string, type: string) => type === 'AWS::SQS::Queue' && id.startsWith('Ingress')
    const policies = (of: Template) =>
      all(of).flatMap(([id, { Type, DeletionPolicy }]) => (held.includes(Type) || ingress(id, Type) ? [DeletionPolicy] : []))
    expect(policies(template)).toEqual(Array.from({ length: 5 }, () => 'Retain'))
    template.hasResourceProperties('AWS::DynamoDB::Table', {
      DeletionProtectionEnabled: true,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    })
    const tried = (await synthesize('{ pools: { mypool: {} }, aws: { retain: false } }', {})).template
    expect(policies(tried)).toEqual(Array.from({ length: 5 }, () => 'Delete'))
  })

  it('keeps messages in dead-letter queues for 14 days, the longest time of SQS', () => {
    const queues = Object.entries(resourcesOf(template, 'AWS::SQS::Queue'))
    const dead = queues.filter(([id]) => id.includes('DeadLetters')).map(([id]) => id)
    expect(dead).toHaveLength(3)
    for (const [id, { Properties }] of queues) {
      expect(Properties.MessageRetentionPeriod, id).toBe(14 * 24 * 3600)
      if (!dead.includes(id)) expect(dead, id).toContain(Properties.RedrivePolicy.deadLetterTargetArn['Fn::GetAtt'][0])
    }
  })

  it('allows TLS only, and encrypts data at rest', () => {
    for (const [type, count] of [
      ['AWS::SQS::QueuePolicy', 6],
      ['AWS::S3::BucketPolicy', 1],
      ['AWS::SNS::TopicPolicy', 1],
    ] as const) {
      const policies = Object.values(resourcesOf(template, type))
      expect(policies, type).toHaveLength(count)
      for (const { Properties } of policies) {
        const denied = Properties.PolicyDocument.Statement.filter(({ Effect }: Statement) => Effect === 'Deny')
        expect(JSON.stringify(denied), type).toContain('"aws:SecureTransport":"false"')
      }
    }
    for (const { Properties } of Object.values(resourcesOf(template, 'AWS::SQS::Queue'))) expect(Properties.SqsManagedSseEnabled).toBe(true)
    template.hasResourceProperties('AWS::S3::Bucket', {
      BucketEncryption: { ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }] },
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
    })
  })

  it('keeps logs for a month, and bodies of messages for a day longer than a queue keeps messages', () => {
    const groups = Object.values(resourcesOf(template, 'AWS::Logs::LogGroup'))
    expect(groups).toHaveLength(4)
    for (const { Properties } of groups) expect(Properties.RetentionInDays).toBe(30)
    template.hasResourceProperties('AWS::S3::Bucket', {
      LifecycleConfiguration: { Rules: [{ Prefix: 'messages/', ExpirationInDays: 15, Status: 'Enabled' }] },
    })
  })

  it('makes a bell visible again only after its function must have ended, for every timeoutMs', async () => {
    const slow = (await synthesize("{ pools: { a: { handler: './main.ts', timeoutMs: 300_000 }, b: { handler: './coffee.ts' } } }", FILES))
      .template
    const bells = resourcesOf(slow, 'AWS::SQS::Queue')
    const functions = resourcesOf(slow, 'AWS::Lambda::Function')
    const mappings = Object.entries(resourcesOf(slow, 'AWS::Lambda::EventSourceMapping'))
    const times = mappings.map(([, { Properties }]) => {
      expect(Properties.FunctionResponseTypes).toEqual(['ReportBatchItemFailures'])
      const { VisibilityTimeout } = bells[Properties.EventSourceArn['Fn::GetAtt'][0]]!.Properties
      const { Timeout } = functions[Properties.FunctionName.Ref]!.Properties
      return [Timeout, VisibilityTimeout]
    })
    expect(times.sort(([a], [b]) => a - b)).toEqual([
      [90, 180],
      [330, 660],
    ])
  })

  it('runs one task for each shard: small, with a public address, not as root, on a read-only disk, without NAT gateway or load balancer', async () => {
    const sharded = (await synthesize('{ pools: { mypool: {} }, aws: { shards: 3 } }', {})).template
    sharded.resourceCountIs('AWS::ECS::Service', 3)
    sharded.resourceCountIs('AWS::EC2::NatGateway', 0)
    sharded.resourceCountIs('AWS::ElasticLoadBalancingV2::LoadBalancer', 0)
    for (const { Properties } of Object.values(resourcesOf(sharded, 'AWS::ECS::Service'))) {
      expect(Properties.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp).toBe('ENABLED')
      expect(Properties.DeploymentConfiguration).toMatchObject({
        DeploymentCircuitBreaker: { Enable: true, Rollback: true },
        MinimumHealthyPercent: 100,
      })
    }
    const shards = Object.values(resourcesOf(sharded, 'AWS::ECS::TaskDefinition')).map(({ Properties }) => {
      expect(Properties).toMatchObject({ Cpu: '256', Memory: '512', RuntimePlatform: { CpuArchitecture: 'ARM64' } })
      const [container] = Properties.ContainerDefinitions
      expect(container).toMatchObject({
        ReadonlyRootFilesystem: true,
        User: 'node',
        StopTimeout: 60,
        LinuxParameters: { InitProcessEnabled: true },
      })
      expect(container.HealthCheck.Command[0]).toBe('CMD') // CMD needs no shell
      return container.Environment.find(({ Name }: { Name: string }) => Name === 'SHARD').Value
    })
    expect(shards.sort()).toEqual(['0', '1', '2'])
    const [door] = Object.values(resourcesOf(sharded, 'AWS::EC2::SecurityGroup'))
    expect(door!.Properties.SecurityGroupIngress).toMatchObject([{ IpProtocol: 'udp', FromPort: 49_737, ToPort: 49_737 }])
  })

  it('runs the task on Fargate Spot if the config says so', async () => {
    const spot = (await synthesize('{ pools: {}, aws: { sidecar: { spot: true } } }', {})).template
    const [service] = Object.values(resourcesOf(spot, 'AWS::ECS::Service'))
    expect(service!.Properties.CapacityProviderStrategy).toEqual([{ CapacityProvider: 'FARGATE_SPOT', Weight: 1 }])
    expect(service!.Properties.LaunchType).toBeUndefined()
    const [[known, capacity] = []] = Object.entries(resourcesOf(spot, 'AWS::ECS::ClusterCapacityProviderAssociations'))
    expect(capacity!.Properties.CapacityProviders).toContain('FARGATE_SPOT')
    expect(service!.DependsOn, 'it is made before the service, and deleted after it').toContain(known)
  })

  it('lets the functions report their calls to X-Ray if the config says so', async () => {
    const traced = (await synthesize("{ handler: './main.ts', pools: { mypool: {} }, aws: { traces: true } }", FILES)).template
    for (const [id, { Properties }] of Object.entries(resourcesOf(traced, 'AWS::Lambda::Function'))) {
      expect(Properties.TracingConfig, id).toEqual({ Mode: 'Active' })
      expect(Properties.Environment.Variables.TRACES, id).toBe('true')
    }
  })

  it('names an article of the runbook in each alarm, and sends each alarm to the topic', () => {
    const alarms = Object.entries(resourcesOf(template, 'AWS::CloudWatch::Alarm'))
    const articles = alarms.map(([id, { Properties }]) => {
      expect(Properties.AlarmActions, id).toHaveLength(1)
      return /See docs\/runbook\.md#([a-z0-9-]+)$/.exec(Properties.AlarmDescription)?.[1]
    })
    expect(articles.sort()).toEqual([
      'conflict',
      'dead-letters',
      'failures',
      'handler-lag',
      'ingress-age',
      'pool-halted',
      'sidecar-gone',
      'throttles',
    ])
  })

  it('lets alarms publish to the topic, whose own policy replaces the default', () => {
    const [policy] = Object.values(resourcesOf(template, 'AWS::SNS::TopicPolicy'))
    const allowed = policy!.Properties.PolicyDocument.Statement.filter(({ Effect }: Statement) => Effect === 'Allow')
    expect(allowed).toMatchObject([
      {
        Action: 'sns:Publish',
        Principal: { Service: 'cloudwatch.amazonaws.com' },
        Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
      },
    ])
  })

  it('has no fixed names, so that a second stage can be deployed beside the first', () => {
    const names = [
      'TableName',
      'BucketName',
      'QueueName',
      'FunctionName',
      'RoleName',
      'LogGroupName',
      'TopicName',
      'ClusterName',
      'ServiceName',
    ]
    for (const [id, { Type, Properties = {} }] of all(template)) {
      for (const name of names) if (typeof Properties[name] === 'string') expect.fail(`${id} (${Type}) is named ${Properties[name]}`)
    }
  })

  it('changes only the function of a handler when the handler changes', async () => {
    using project = new Project(CONFIG, FILES)
    const before = (await synthesizeProject(project)).template
    const again = (await synthesizeProject(project)).template
    expect(again.toJSON()).toEqual(before.toJSON())
    project.write('coffee.ts', HANDLER.replace('e.hash', 'e.seq'))
    const after = (await synthesizeProject(project)).template
    const changed = all(after).filter(([id, resource]) => JSON.stringify(resource) !== JSON.stringify(before.toJSON().Resources[id]))
    expect(changed.map(([, { Type }]) => Type)).toEqual(['AWS::Lambda::Function'])
    expect(changed[0]![0]).toContain('coffee')
  })

  it('deletes nothing of a pool’s ledger when the pool leaves the config', async () => {
    const fewer = (await synthesize("{ handler: './main.ts', pools: { coffee: { handler: './coffee.ts' } } }", FILES)).template
    const gone = all(template).filter(([id]) => !(id in fewer.toJSON().Resources))
    expect(gone.map(([, { Type }]) => Type)).toEqual([])
    for (const type of ['AWS::DynamoDB::Table', 'AWS::S3::Bucket', 'AWS::SecretsManager::Secret', 'AWS::SQS::Queue'])
      expect(resourcesOf(fewer, type)).toEqual(resourcesOf(template, type))
  })

  it('uses an existing ledger if the config names one, and makes no other', async () => {
    const adopting = (
      await synthesize(`{ handler: './main.ts', pools: { mypool: {} }, aws: { ledger: ${JSON.stringify(ADOPTED)} } }`, FILES)
    ).template
    for (const type of ['AWS::DynamoDB::Table', 'AWS::S3::Bucket', 'AWS::SecretsManager::Secret']) adopting.resourceCountIs(type, 0)
    const { Table, Bucket, Seed } = adopting.toJSON().Outputs as Record<string, { Value: string }>
    expect([Table!.Value, Bucket!.Value, Seed!.Value]).toEqual([ADOPTED.table, ADOPTED.bucket, ADOPTED.seed])
    const keeping = allowed(adopting, 'SidecarShard0TaskTaskRole')
    expect(actionsOf(keeping)).toEqual(actionsOf(allowed(template, 'SidecarShard0TaskTaskRole')))
    for (const name of [`table/${ADOPTED.table}`, `:s3:::${ADOPTED.bucket}/blocks/*`, ADOPTED.seed])
      expect(JSON.stringify(keeping)).toContain(name)
  })

  it('has outputs with the address of each pool, and with what the library and the command line need', () => {
    const outputs = template.toJSON().Outputs as Record<string, unknown>
    expect(Object.keys(outputs).sort()).toEqual(
      [
        'BellsCoffee',
        'BellsMain',
        'Bucket',
        'Endpoint',
        'IngressUrls',
        'PoolCoffee',
        'PoolMypool',
        'RunsCoffee',
        'RunsMain',
        'Seed',
        'Table',
      ].sort(),
    )
    expect(JSON.stringify(outputs.PoolMypool)).toContain('mypool')
    expect(JSON.stringify(outputs.RunsCoffee)).toMatch(/"coffee ".*HandlercoffeeLogs/)
  })

  it('keeps the rules of cdk-nag (AwsSolutions), or suppresses one with a reason', { timeout: 120_000 }, async () => {
    const everything = `{ handler: './main.ts', pools: { mypool: {} }, aws: {
      domain: { name: 'pay.example.com', zone: { id: 'Z0123456789ABC', name: 'example.com' } },
      throttle: { rate: 100, burst: 200 }, shards: 2, alarmEmail: 'me@example.com', budget: { dollars: 50, email: 'me@example.com' }, traces: true, reservedConcurrency: 50 } }`
    const adopting = `{ pools: { mypool: {} }, aws: { ledger: ${JSON.stringify(ADOPTED)} } }`
    for (const config of [CONFIG, everything, adopting]) check((await synthesize(config, FILES)).app)
    // The check works: it finds a broken rule that is not suppressed.
    const { app, stack } = await synthesize(CONFIG, FILES)
    new Queue(stack, 'Careless')
    expect(() => check(app)).toThrow('AwsSolutions-SQS4')
  })

  it('is made without Docker, an account or the network', { timeout: 120_000 }, () => {
    const out = mkdtempSync(join(tmpdir(), 'overpool-synth-'))
    try {
      // PATH has only Node.
      execFileSync(process.execPath, ['cdk/app.ts'], {
        cwd: ROOT,
        env: { PATH: dirname(process.execPath), HOME: out, CDK_OUTDIR: out },
        stdio: 'pipe',
      })
      const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as { missing?: unknown[] }
      expect(manifest.missing ?? []).toEqual([])
    } finally {
      rmSync(out, { recursive: true, force: true })
    }
  })
})
