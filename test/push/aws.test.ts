import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { App, Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Bundle } from '../../cdk/bundle.ts'
import { type Program, readProgram } from '../../cdk/read.ts'
import { OverpoolStack } from '../../cdk/stack.ts'
import { followPool } from '../../client/follow.ts'
import { ENV } from '../../shared/config/env.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { awsClients } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import { Shape } from '../aws/shape.ts'
import { actionsOf, allowed, HANDLER, Project, resourcesOf, type Synthesized, synthesize } from '../cdk/synth.ts'
import { pay } from '../cli/project.ts'
import { Task } from '../machine/task.ts'
import { Stream } from './stream.ts'
import { Target } from './target.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const config = (forward: string, events = 'true', aws = 'aws: { followers: 20 }') =>
  `{ pools: { mypool: { events: ${events} }, quiet: {} }, handlers: { hook: { forward: '${forward}', secret: { secret: 'Hook' } } }, ${aws} }`

describe('the bundles that are deployed, over the emulators and a sidecar', () => {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-push-'))
  const closing: (() => unknown)[] = [() => rmSync(dir, { recursive: true })]
  let target: Target
  let door: string
  let events: string

  beforeAll(async () => {
    target = await new Target(SECRET).open()
    closing.push(() => target.close())
    using project = new Project(config(target.url))
    const program: Program = await readProgram(project.config)
    const emulators = await Emulators.start()
    closing.push(() => emulators[Symbol.asyncDispose]())
    emulators.secrets = { Hook: SECRET }
    const shape = new Shape(emulators.place, { config: program.config, handlers: program.forwards })
    const { sqs, close } = awsClients(emulators.place.endpoint)
    await shape.make(sqs)
    close()
    const sidecar = Task.process(dir, { ...shape.aws, ...shape.sidecar(0) })
    closing.push(() => sidecar.ended('SIGKILL'))
    await sidecar.said('working')
    const { TABLE, BUCKET, NAMESPACE, BELLS_URL, HANDLER } = shape.handler('hook')
    events = await run(program.events!, { ...shape.aws, TABLE, BUCKET, NAMESPACE }, 14_000) // a stream lives for 4 s
    door = await run(program.payments, { ...shape.aws, ...shape.payments, FOLLOW_AT: events }, 15_000)
    await run(program.forwards[0]!.bundle, { ...shape.aws, TABLE, BUCKET, NAMESPACE, BELLS_URL, HANDLER }, 90_000, BELLS_URL)
  }, 120_000)
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  /** Runs a bundle as Lambda does. @returns its URL, if it has one */
  async function run({ dir }: Bundle, environment: Record<string, string>, remainingMs: number, bells?: string): Promise<string> {
    const args = [dir, JSON.stringify(environment), String(remainingMs), ...(bells === undefined ? [] : [bells])]
    const child = fork(new URL('./lambda.ts', import.meta.url), args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    closing.push(() => child.kill('SIGKILL'))
    const [url] = (await once(child, 'message')) as [string]
    return url
  }

  it('let clients follow a pool over many lives of a stream, from the door on: nothing missed, nothing twice; and forward each entry, signed', async () => {
    const seqs: number[] = []
    const gone = new AbortController()
    const following = followPool(`${door}mypool`, { onEvent: ({ seq }) => seqs.push(seq), after: -1, signal: gone.signal })
    const count = 30
    for (let i = 0; i < count; i++) {
      expect(await pay(`${door}mypool`, sampleTransaction(`${i}`))).toBe(200)
      await new Promise((resolve) => setTimeout(resolve, 300)) // 9 s in all
    }
    await expect.poll(() => seqs.length, { timeout: 30_000 }).toBe(count)
    gone.abort()
    await following
    expect(seqs).toEqual(Array.from({ length: count }, (_, seq) => seq))
    await expect.poll(() => target.got.length, { timeout: 30_000 }).toBe(count)
    expect(target.seqs).toEqual(seqs)
  })

  it('send a browser to the URL of the events, with its query, and say there who may follow', async () => {
    const sent = await fetch(`${door}mypool/events?after=3&kinds=tx`, { redirect: 'manual' })
    expect([sent.status, sent.headers.get('location'), sent.headers.get('access-control-allow-origin')]).toEqual([
      307,
      `${events}mypool/events?after=3&kinds=tx`,
      '*',
    ])
    const refused = await fetch(`${door}quiet/events`)
    expect([refused.status, refused.headers.get('access-control-allow-origin'), await refused.json()]).toEqual([
      404,
      '*',
      expect.objectContaining({ code: 'POOL_NOT_FOUND' }),
    ])
    expect((await fetch(`${events}mypool`)).status).toBe(404)
    expect((await fetch(`${events}mypool/events`, { method: 'OPTIONS' })).status).toBe(204)
    await using stream = await Stream.open(`${events}mypool/events`, { 'last-event-id': '27' })
    expect((await stream.got(2)).map(({ seq }) => seq)).toEqual([28, 29])
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream')
  })
})

describe('a stack', () => {
  let synthesized: Synthesized
  beforeAll(async () => {
    synthesized = await synthesize(config('https://example.com/hook'))
  }, 120_000)

  const functionOf = (name: string) =>
    Object.entries(resourcesOf(synthesized.template, 'AWS::Lambda::Function')).find(([id]) => id.startsWith(name))![1].Properties

  it('with a pool that can be followed has a function of its own for that, whose URL streams, and which reads blocks and pools alone', () => {
    const { template } = synthesized
    expect(Object.keys(functionOf('Events').Environment.Variables).sort()).toEqual([...ENV.events.required].sort())
    expect(functionOf('Events').ReservedConcurrentExecutions).toBe(20)
    const urls = Object.entries(resourcesOf(template, 'AWS::Lambda::Url')).map(([id, { Properties }]) => [
      id.slice(0, 6),
      Properties.InvokeMode,
    ])
    expect(urls.sort()).toEqual([
      ['Events', 'RESPONSE_STREAM'],
      ['Paymen', undefined],
    ])
    expect(actionsOf(allowed(template, 'Events')).filter((action) => !action.startsWith('logs:'))).toEqual([
      'dynamodb:BatchGetItem',
      'dynamodb:GetItem',
      'dynamodb:Query',
      's3:GetObject',
      's3:ListBucket',
    ])
    const reading = allowed(template, 'Events').find(({ Action }) => [Action].flat().includes('dynamodb:Query'))
    expect(reading!.Condition).toEqual({ 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['pool#*', 'control'] } })
    expect(Object.keys(functionOf('Payments').Environment.Variables).sort()).toEqual([...ENV.payments.required, 'FOLLOW_AT'].sort())
    expect(template.findOutputs('FollowAt')).toHaveProperty('FollowAt')
  })

  it('with a forward has its function and queue, rung by the sidecar; the function reads its secret, writes its progress, and posts nothing', () => {
    const { template } = synthesized
    expect(Object.keys(functionOf('Forwardhook').Environment.Variables).sort()).toEqual([...ENV.forward.required].sort())
    const statements = allowed(template, 'Forwardhook')
    expect(actionsOf(statements).filter((action) => /^(secretsmanager|s3):/.test(action))).toEqual([
      's3:GetObject',
      's3:ListBucket',
      'secretsmanager:DescribeSecret',
      'secretsmanager:GetSecretValue',
    ])
    expect(actionsOf(statements)).not.toContain('sqs:SendMessage')
    const writing = statements.filter(({ Action }) => [Action].flat().includes('dynamodb:PutItem'))
    expect(writing.map(({ Condition }) => Condition?.['ForAllValues:StringLike'])).toEqual([
      { 'dynamodb:LeadingKeys': ['cursor#*', 'dead#*'] },
    ])
    const [task] = Object.values(resourcesOf(template, 'AWS::ECS::TaskDefinition'))
    expect(JSON.stringify(task)).toMatch(/\\"name\\":\\"hook\\"/)
    expect(JSON.stringify(template.findOutputs('*'))).toContain('hook ')
  })

  it('keeps the rules of cdk-nag', async () => {
    using project = new Project(config('https://example.com/hook'))
    const app = new App({ context: { '@aws-cdk/aws-iam:minimizePolicies': true } })
    new OverpoolStack(app, 'Overpool', { program: await readProgram(project.config) })
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
    app.synth({ force: true })
  })

  it('without either has neither', async () => {
    const { template } = await synthesize("{ handler: './main.ts', pools: { mypool: {} } }", { 'main.ts': HANDLER })
    const ids = Object.keys(template.toJSON().Resources as object)
    expect(ids.filter((id) => /^(Events|Forward)/.test(id))).toEqual([])
  })

  it.each([
    ['nobody has said how many may follow', config('https://example.com', 'true', ''), /set `aws\.followers` to the number/],
    [
      'a number of followers that is none',
      config('https://example.com', 'true', 'aws: { followers: 0 }'),
      /aws\.followers is a whole number/,
    ],
    [
      'a secret in the environment',
      config('https://example.com').replace("{ secret: 'Hook' }", "{ env: 'HOOK' }"),
      /handlers\.hook\.secret: on AWS a secret is in Secrets Manager/,
    ],
  ])('is refused where %s', async (_, text, said) => {
    using project = new Project(text)
    await expect(readProgram(project.config)).rejects.toThrow(said)
  })
})
