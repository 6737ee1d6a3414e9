import { keepHeapSmall } from '../../../cli/heap.ts'
import { Overpool } from '../../../index.ts'
import { answer } from '../program.ts'

// A machine with a door and a handler that keeps nothing, so that all resident memory is the machine's own.

keepHeapSmall() // as `overpool start` does
const [dir] = process.argv.slice(2)
const pool = new Overpool({ dir })
let delivered = 0
pool.on('tx', () => {
  delivered++
})
const { url } = await pool.create({ path: 'mypool', port: 0 })
answer({
  url: () => url,
  delivered: () => delivered,
  memory: () => process.memoryUsage.rss(),
  close: () => pool.close(),
})
