import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DescribeTableCommand, DynamoDBClient, RestoreTableToPointInTimeCommand } from '@aws-sdk/client-dynamodb'
import { DescribeSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { expect, it } from 'vitest'
import { openStack } from '../../client/stack.ts'
import type { OverpoolConfig } from '../../shared/config/config.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { SIDE, until } from '../machine/machine.ts'
import { Deployed } from './deployed.ts'

// The instructions for restore and redeployment in docs/deploy.md, which people follow only in an emergency.

/** A handler that adds a line to a file for each of its calls: MiniStack runs it on this computer, and may lose a line of its log. */
const handlerOf = (file: string) => `import { appendFileSync } from 'node:fs'
export const onTx = (e) => appendFileSync(${JSON.stringify(file)}, e.seq + '\\n')
`
/** The table that this run restores. */
const RESTORED = `restored-${Date.now()}`

it('a stack on a restored table, and a stack deployed again on the kept table, have the same ledger and go on with it', async ({
  skip,
}) => {
  if (SIDE === 'deployed') skip('it deploys a stack of its own, whose kept resources would stay in the account')
  if (SIDE === 'localstack') skip('its DynamoDB cannot restore a table to a point in time')
  const dir = mkdtempSync(join(tmpdir(), 'overpool-restore-'))
  const file = join(dir, 'overpool.config.ts')
  const configure = (aws: OverpoolConfig['aws']) => {
    const network = { bootstrap: ['127.0.0.1:9'] } // this address never answers
    writeFileSync(file, `export default ${JSON.stringify({ handler: './main.ts', pools: { mypool: {} }, network, aws })}\n`)
  }
  const calls = join(dir, 'calls')
  writeFileSync(join(dir, 'main.ts'), handlerOf(calls))
  configure(undefined)
  await using deployed = new Deployed(['-c', 'stage=restore', '-c', `config=${file}`])
  try {
    await deployed.deploy()
    await post(deployed, 'one', 'two', 'three')
    const before = await state(deployed, 3)
    expect(callsIn(calls)).toEqual([0, 1, 2])

    // A post that comes after the time to which the table is restored, and waits in the queue.
    await deployed.stopSidecars()
    const { Table, Bucket = '', Seed } = deployed.outputs
    const dynamodb = new DynamoDBClient({})
    await dynamodb.send(
      new RestoreTableToPointInTimeCommand({ SourceTableName: Table, TargetTableName: RESTORED, UseLatestRestorableTime: true }),
    )
    await post(deployed, 'four')
    const { ARN: seed = '' } = await new SecretsManagerClient({}).send(new DescribeSecretCommand({ SecretId: Seed }))
    configure({ ledger: { table: RESTORED, bucket: Bucket, seed } })
    await deployed.deploy()
    expect(deployed.outputs).toMatchObject({ Table: RESTORED, Bucket, Seed: seed })
    const restored = await state(deployed, 4)
    expect(restored.key).toBe(before.key)
    expect(restored.texts.slice(0, 3)).toEqual(before.texts)
    expect((await dynamodb.send(new DescribeTableCommand({ TableName: Table }))).Table?.TableStatus, 'the old table is kept').toBe('ACTIVE')

    expect(callsIn(calls), 'the handler went on at its cursor').toEqual([0, 1, 2, 3])

    await deployed.destroy()
    await deployed.deploy()
    await post(deployed, 'five')
    const again = await state(deployed, 5)
    expect(again.key).toBe(before.key)
    expect(again.texts.slice(0, 4)).toEqual(restored.texts)
    expect(callsIn(calls)).toEqual([0, 1, 2, 3, 4])
    await deployed.destroy()
  } finally {
    rmSync(dir, { recursive: true })
  }
})

async function post({ name }: Deployed, ...texts: string[]): Promise<void> {
  await using machine = await openStack({ stack: name })
  for (const text of texts) await machine.pools.post({ path: 'mypool', payment: { transaction: sampleTransaction(text), memo: text } })
}

/** The key and the entries of the pool, when it has `entries` entries and all are signed, handled and verified. */
async function state({ name }: Deployed, entries: number): Promise<{ key: string; texts: (string | undefined)[] }> {
  await using machine = await openStack({ stack: name })
  const { stores, pools } = machine
  await until(
    () => stores.progress.readCursor('main', 'mypool'),
    ({ seq }) => seq === entries - 1,
  )
  const verified = await until(
    () => machine.verify('mypool'),
    ({ blocks, reportedBlocks }) => reportedBlocks === blocks,
  )
  expect(verified).toMatchObject({ entries, receipts: entries, problems: 0 })
  const events = await pools.tail({ path: 'mypool' })
  return { key: verified.key, texts: events.map(({ hash, payment }) => `${hash} ${payment.memo}`) }
}

/** The sequence numbers of the handler's calls, in order. A call has written its own before the cursor moves. */
function callsIn(file: string): number[] {
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []
}
