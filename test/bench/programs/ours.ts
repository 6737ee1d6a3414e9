import { Overpool } from '../../../index.ts'
import { answer } from '../program.ts'

// The article's program: a pool on a port, and a handler that uses the parsed transaction.

const [dir] = process.argv.slice(2)
const pool = new Overpool({ dir })
const delivered = new Set<string>()
pool.on('tx', (e) => {
  delivered.add(e.parsed.tx.h)
})
const { url } = await pool.create({ path: 'mypool', port: 0 })
answer({ url: () => url, delivered: () => delivered.size, cpu: () => process.cpuUsage() })
