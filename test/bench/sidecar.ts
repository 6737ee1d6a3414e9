import { setTimeout as wait } from 'node:timers/promises'
import { Deployment } from '../aws/deployment.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, number } from './report.ts'

const MB = 1024 * 1024

/** Measures the memory of the sidecar's process with a hundred pools, while payments go into all of them. */
export async function sidecar({ smoke }: Effort): Promise<Figures> {
  const [pools, count, rate] = smoke ? [10, 50, 50] : [100, 10_000, 400]
  const names = Array.from({ length: pools }, (_, i) => `pool-${i}`)
  await using deployment = await Deployment.start(names)
  const open = deployment.sidecarMemory.now
  const payments = await Program.start('lambda', deployment.program.payments.dir, JSON.stringify(deployment.environment('payments')))
  try {
    let entries = 0
    deployment.emulators.proxy.listen = ({ operation, input }) => {
      if (operation === 'PutItem' && input.Item.count) entries += Number(input.Item.count.N)
    }
    const began = performance.now()
    await payments.ask('pay', { pools: names, from: 0, count, rate })
    while (entries < count) await wait(20)
    const seconds = (performance.now() - began) / 1_000
    const { now, most } = deployment.sidecarMemory
    return {
      title: `sidecar: its process as in a task of 512 MB, ${number(pools)} pools, ${number(count)} payments by turns into all of them, over DynamoDB, SQS and S3 in memory`,
      rows: [
        ['', 'entries/s', 'MB when open', 'MB after them', 'MB at most'],
        ['sidecar', number(count / seconds), ...[open, now, most].map((bytes) => number(bytes / MB))],
      ],
      goals: [{ what: 'resident memory under 300 MB', met: most < 300 * MB }],
    }
  } finally {
    await payments.kill()
  }
}
