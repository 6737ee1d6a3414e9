import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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

// The articles of docs/deploy.md that nobody follows before the day on which all depends on them.

const HANDLER = "export const onTx = (e) => console.log('handled ' + e.path + ' #' + e.seq)\n"
/** Of this test, beside those that were there before. */
const RESTORED = `restored-${Date.now()}`

it('restored from its table, and then taken down and deployed again on what was kept, it is the same ledger, and goes on', async ({
  skip,
}) => {
  if (SIDE === 'deployed') skip('it deploys a stack of its own, which it would leave there')
  if (SIDE === 'localstack') skip('its DynamoDB restores no table to a point in time')
  const dir = mkdtempSync(join(tmpdir(), 'overpool-restore-'))
  const file = join(dir, 'overpool.config.ts')
  const configure = (aws: OverpoolConfig['aws']) => {
    const network = { bootstrap: ['127.0.0.1:9'] } // nobody answers there
    writeFileSync(file, `export default ${JSON.stringify({ handler: './main.ts', pools: { mypool: {} }, network, aws })}\n`)
  }
  writeFileSync(join(dir, 'main.ts'), HANDLER)
  configure(undefined)
  await using deployed = new Deployed(['-c', 'stage=restore', '-c', `config=${file}`])
  try {
    await deployed.deploy()
    await post(deployed, 'one', 'two', 'three')
    const before = await state(deployed, 3)
    expect(await handledBy(deployed, 3)).toEqual([0, 1, 2])

    // A post that came after the moment to which the table is restored, and waits.
    await deployed.stopSidecars()
    const { Table, Bucket = '', Seed } = deployed.outputs
    const dynamodb = new DynamoDBClient({})
    await dynamodb.send(
      new RestoreTableToPointInTimeCommand({ SourceTableName: Table, TargetTableName: RESTORED, UseLatestRestorableTime: true }),
    )
    await post(deployed, 'four')
    const { ARN: seed = '' } = await new SecretsManagerClient({}).send(new DescribeSecretCommand({ SecretId: Seed }))
    const restoredAt = Date.now()
    configure({ ledger: { table: RESTORED, bucket: Bucket, seed } })
    await deployed.deploy()
    expect(deployed.outputs).toMatchObject({ Table: RESTORED, Bucket, Seed: seed })
    const restored = await state(deployed, 4)
    expect(restored.key).toBe(before.key)
    expect(restored.texts.slice(0, 3)).toEqual(before.texts)
    expect((await dynamodb.send(new DescribeTableCommand({ TableName: Table }))).Table?.TableStatus, 'the old one is kept').toBe('ACTIVE')

    expect(await handledBy(deployed, 1, restoredAt), 'the handler went on where its cursor was').toEqual([3])

    await deployed.destroy()
    const againAt = Date.now()
    await deployed.deploy()
    await post(deployed, 'five')
    const again = await state(deployed, 5)
    expect(again.key).toBe(before.key)
    expect(again.texts.slice(0, 4)).toEqual(restored.texts)
    expect(await handledBy(deployed, 1, againAt)).toEqual([4])
    await deployed.destroy()
  } finally {
    rmSync(dir, { recursive: true })
  }
})

async function post({ name }: Deployed, ...texts: string[]): Promise<void> {
  await using machine = await openStack({ stack: name })
  for (const text of texts) await machine.pools.post({ path: 'mypool', payment: { transaction: sampleTransaction(text), memo: text } })
}

/** How the pool is when so many entries are in it, signed and handled, and all of it agrees. */
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

/** Numbers of the entries that the handler was called with, so many at least, in their order; as its log says, which is heard of some time after its cursor has moved. */
function handledBy(deployed: Deployed, count: number, since = 0): Promise<number[]> {
  const read = async () => {
    const lines = [...(await deployed.handlerLines(since)).values()]
    return lines.flatMap((line) => Number(/^handled mypool #(\d+)$/.exec(line)?.[1] ?? Number.NaN)).filter(Number.isInteger)
  }
  return until(read, (seqs) => seqs.length >= count)
}
