import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { Template } from 'aws-cdk-lib/assertions'
import { beforeAll, describe, expect, it } from 'vitest'
import { bundlePayments } from '../../cdk/bundle.ts'
import { ENV } from '../../shared/config/env.ts'
import { payeeOf } from '../../shared/paywall/payee.ts'
import { recordedServer } from '../broadcast/recorded.ts'
import { functionUrlEvent } from '../door/function-url.ts'
import { ADOPTED, actionsOf, allowed, Project, resourcesOf, synthesize } from './synth.ts'

const CONFIG = (pool: string, more = '') => `{ handler: './main.ts', pools: { mypool: { ${pool} } }${more} }`

function variablesOf(template: Template): string[] {
  const [door] = Object.entries(resourcesOf(template, 'AWS::Lambda::Function')).filter(([id]) => id.startsWith('Payments'))
  return Object.keys(door![1].Properties.Environment.Variables).sort()
}

describe('a stack with a pool that has a price', () => {
  let template: Template
  beforeAll(async () => {
    template = (await synthesize(CONFIG('price: 100'))).template
  })

  it('has a secret of the payment keys, which stays when the stack is deleted, and which the door alone may read', () => {
    const secrets = Object.entries(resourcesOf(template, 'AWS::SecretsManager::Secret')).filter(([id]) => id.startsWith('PaymentKeys'))
    const [id, secret] = secrets[0] as [string, { DeletionPolicy?: string }]
    expect(secret.DeletionPolicy).toBe('Retain')
    const readers = ['Payments', 'Handler', 'SidecarShard0TaskTaskRole'].filter((role) =>
      JSON.stringify(allowed(template, role)).includes(id),
    )
    expect(readers).toEqual(['Payments'])
    expect(variablesOf(template)).toEqual([...ENV.payments.required, 'PAY_SECRET_ARN', 'TABLE'].sort())
    expect(template.findOutputs('PaySecret')).toHaveProperty('PaySecret')
  })

  it('lets the door read receipts, and write nothing into the table', () => {
    const table = actionsOf(allowed(template, 'Payments')).filter((action) => action.startsWith('dynamodb'))
    expect(table).not.toEqual([])
    expect(table.filter((action) => /Put|Update|Delete|Write/.test(action))).toEqual([])
  })
})

it('a stack with a paymail has the secret, without rights on the table; one without either has none', async () => {
  const { template } = await synthesize(CONFIG("paymail: 'shop@example.com'"))
  expect(variablesOf(template)).toEqual([...ENV.payments.required, 'PAY_SECRET_ARN'].sort())
  expect(variablesOf((await synthesize(CONFIG(''))).template)).toEqual([...ENV.payments.required].sort())
})

it('a stack on an existing ledger uses its payment keys', async () => {
  const arn = ADOPTED.seed.replace('LedgerSeed', 'PaymentKeys')
  const { template } = await synthesize(CONFIG('price: 100', `, aws: { ledger: ${JSON.stringify({ ...ADOPTED, paySecret: arn })} }`))
  expect(Object.keys(resourcesOf(template, 'AWS::SecretsManager::Secret'))).toEqual([])
  expect(JSON.stringify(template.findOutputs('PaySecret'))).toContain(arn)
})

it('the door of a pool with a price reads no more code at its start than another: the library of keys is loaded with the first payment', async () => {
  const bytesOf = async (pool: string) => {
    using project = new Project(CONFIG(pool))
    return (await bundlePayments(project.config)).bytes
  }
  const [priced, plain] = [await bytesOf('price: 100'), await bytesOf('')]
  expect(priced).toBeLessThan(500_000)
  expect(priced - plain).toBeLessThan(100) // the setting itself
})

it('the bundle of a door with a price answers with its terms, as Lambda runs it', async () => {
  const { url, requests } = await recordedServer(() => ({ status: 200, body: { SecretString: 'the secret of the payment keys' } }))
  using project = new Project(CONFIG('price: 100'))
  const { dir } = await bundlePayments(project.config)
  project.write('event.json', JSON.stringify(functionUrlEvent(undefined, { method: 'GET' })))
  const script = `
    import { readFileSync } from 'node:fs'
    const { handler } = await import(${JSON.stringify(pathToFileURL(join(dir, 'index.mjs')))})
    const { statusCode, headers } = await handler(JSON.parse(readFileSync('event.json', 'utf8')), {})
    console.log(JSON.stringify([statusCode, headers['x-bsv-server'], headers['payment-required']?.length > 500]))`
  const needed = Object.fromEntries([...ENV.payments.required, 'TABLE'].map((name) => [name, `https://example.com/${name}`]))
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: project.dir,
    env: {
      ...needed,
      PAY_SECRET_ARN: 'arn:aws:secretsmanager:us-east-1:123456789012:secret:PaymentKeys-0a1B2c',
      AWS_ENDPOINT_URL: url,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'key',
    },
  })
  const { publicKey } = await (await payeeOf('the secret of the payment keys', 'mypool')).getPublicKey({ identityKey: true })
  expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toEqual([402, publicKey, true])
  expect(requests).toHaveLength(1)
})
