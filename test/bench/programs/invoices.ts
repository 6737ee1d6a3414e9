import { Overpool } from '../../../index.ts'
import { answer } from '../program.ts'

// A pool that asks for money, and one that does not, with a handler.

const [dir] = process.argv.slice(2)
const pool = new Overpool({ dir })
const delivered = new Set<string>()
pool.on('tx', (e) => {
  delivered.add(e.hash)
})
const { url } = await pool.create({
  path: 'coffee',
  port: 0,
  limits: false,
  request: { amount: 500, memo: 'coffee', expiresIn: 3_600_000 },
})
await pool.create({ path: 'plain', port: false, limits: false })
const kept = await pool.invoice({ path: 'coffee', amount: 500, memo: 'coffee' })
answer({ url: () => url, kept: () => kept.url, delivered: () => delivered.size, cpu: () => process.cpuUsage() })
