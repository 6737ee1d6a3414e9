import { Overpool } from '../../../index.ts'
import { sampleTransaction } from '../../../shared/transaction/sample.ts'
import { answer } from '../program.ts'

// A pool that anybody may follow.

const [dir] = process.argv.slice(2)
const pool = new Overpool({ dir })
const { url } = await pool.create({ path: 'mypool', port: 0, events: true, limits: false })

answer({
  url: () => url,
  post: async ({ from, count }: { from: number; count: number }) => {
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        pool.post({ path: 'mypool', payment: { transaction: sampleTransaction(`push ${from + i}`) } }),
      ),
    )
  },
  memory: () => {
    globalThis.gc?.()
    return process.memoryUsage.rss()
  },
  cpu: () => process.cpuUsage(),
})
