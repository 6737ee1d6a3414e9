import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { HD } from '@bsv/sdk'
import type { Template } from 'aws-cdk-lib/assertions'
import { beforeAll, describe, expect, it } from 'vitest'
import { bundlePayments } from '../../cdk/bundle.ts'
import { ENV } from '../../shared/config/env.ts'
import { recordedServer } from '../broadcast/recorded.ts'
import { functionUrlEvent } from '../door/function-url.ts'
import { actionsOf, allowed, Project, resourcesOf, synthesize } from './synth.ts'

const XPUB = HD.fromSeed([...Buffer.alloc(32, 3)])
  .toPublic()
  .toString()
const CONFIG = (pool: string, more = '') => `{ handler: './main.ts', pools: { mypool: { ${pool} } }${more} }`
const ASKS = CONFIG("request: { amount: 500, memo: 'coffee' }", `, receive: '${XPUB}'`)

function variablesOf(template: Template, name: string): string[] {
  const [found] = Object.entries(resourcesOf(template, 'AWS::Lambda::Function')).filter(([id]) => id.startsWith(name))
  return Object.keys(found![1].Properties.Environment.Variables).sort()
}

describe('a stack whose pool asks for payments', () => {
  let template: Template
  beforeAll(async () => {
    template = (await synthesize(ASKS)).template
  })

  it('has a secret of the keys of merchantData, which the door alone may read', () => {
    const [id] = Object.keys(resourcesOf(template, 'AWS::SecretsManager::Secret')).filter((name) => name.startsWith('InvoiceKeys'))
    const readers = ['Payments', 'Handler', 'SidecarShard0TaskTaskRole'].filter((role) =>
      JSON.stringify(allowed(template, role)).includes(id!),
    )
    expect(readers).toEqual(['Payments'])
    expect(variablesOf(template, 'Payments')).toEqual([...ENV.payments.required, 'INVOICE_KEYS_ARN', 'TABLE'].sort())
    expect(variablesOf(template, 'Handler')).toContain('DOOR_URL')
  })

  it('lets the door write invoices, and nothing else of the table', () => {
    const writes = allowed(template, 'Payments').filter((statement) => JSON.stringify(statement).includes('dynamodb:UpdateItem'))
    expect(writes).toHaveLength(1)
    expect(JSON.stringify(writes)).toContain('invoice#*')
    for (const other of ['pool#', 'receipt#', 'status#', 'control', 'cursor#', 'lease#'])
      expect(JSON.stringify(writes)).not.toContain(other)
  })
})

it('a stack that asks for nothing has no such secret, and its door no table', async () => {
  const { template } = await synthesize(CONFIG(''))
  expect(Object.keys(resourcesOf(template, 'AWS::SecretsManager::Secret')).filter((name) => name.startsWith('InvoiceKeys'))).toEqual([])
  expect(variablesOf(template, 'Payments')).toEqual([...ENV.payments.required].sort())
  expect(variablesOf(template, 'Handler')).not.toContain('DOOR_URL')
  expect(actionsOf(allowed(template, 'Payments')).filter((action) => action.startsWith('dynamodb'))).toEqual([])
})

it('an amount that would go to nobody’s wallet is refused before it is deployed', async () => {
  await expect(synthesize(CONFIG('request: { amount: 500 }'))).rejects.toThrow(/set `receive` to the xpub of your wallet/)
  await expect(synthesize(CONFIG('request: { amount: 500 }', ", receive: 'xprv9s21'"))).rejects.toThrow(
    /`receive` is an extended public key/,
  )
})

it('the door that asks reads no more code at its start than another: pages and keys are loaded with the first request', async () => {
  const bytesOf = async (config: string) => {
    using project = new Project(config)
    return (await bundlePayments(project.config)).bytes
  }
  const [asking, plain] = [await bytesOf(ASKS), await bytesOf(CONFIG(''))]
  expect(asking).toBeLessThan(500_000)
  expect(asking - plain).toBeLessThan(300) // the settings themselves
})

it('the bundle of a door that asks answers with a payment request, as Lambda runs it', async () => {
  const { url, requests } = await recordedServer(() => ({ status: 200, body: { SecretString: '5a'.repeat(32) } }))
  using project = new Project(ASKS)
  const { dir } = await bundlePayments(project.config)
  project.write(
    'event.json',
    JSON.stringify(functionUrlEvent(undefined, { method: 'GET', headers: { accept: 'application/bitcoinsv-paymentrequest' } })),
  )
  project.write('page.json', JSON.stringify(functionUrlEvent(undefined, { method: 'GET', headers: { accept: 'text/html' } })))
  const script = `
    import { readFileSync } from 'node:fs'
    const { handler } = await import(${JSON.stringify(pathToFileURL(join(dir, 'index.mjs')))})
    const answer = async (file) => handler(JSON.parse(readFileSync(file, 'utf8')), {})
    const [request, page] = [await answer('event.json'), await answer('page.json')]
    console.log(JSON.stringify([request.statusCode, JSON.parse(request.body), page.statusCode, page.headers['content-type'], page.body.length]))`
  const needed = Object.fromEntries([...ENV.payments.required, 'TABLE'].map((name) => [name, `https://example.com/${name}`]))
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: project.dir,
    env: {
      ...needed,
      INVOICE_KEYS_ARN: 'arn:aws:secretsmanager:us-east-1:123456789012:secret:InvoiceKeys-0a1B2c',
      AWS_ENDPOINT_URL: url,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'key',
    },
  })
  const [status, request, pageStatus, type, length] = JSON.parse(stdout.trim().split('\n').at(-1)!) as [
    number,
    Record<string, unknown>,
    number,
    string,
    number,
  ]
  expect([status, pageStatus, type]).toEqual([200, 200, 'text/html; charset=utf-8'])
  expect(request).toMatchObject({
    network: 'bitcoin',
    outputs: [{ amount: 500, script: expect.stringMatching(/^76a914/) as unknown }],
    memo: 'coffee',
  })
  expect(request.paymentUrl).toMatch(/^https:\/\/\S+\/mypool\/\S+\.\S+\.\S+$/)
  expect(length).toBeLessThan(30_000)
  expect(requests).toHaveLength(1)
})
