import { createRequire } from 'node:module'
import { answer } from '../program.ts'
import { transactionNumber } from '../recorded.ts'

// What a Planaria of 2019 did with each transaction: its raw bytes, as hex, parsed by `bpu`, then a filter in JavaScript.

interface Parsed {
  out: { e: { a?: string } }[]
}

const [installed] = process.argv.slice(2)
const bpu = createRequire(installed!)('bpu') as { parse(what: { tx: { r: string } }): Promise<Parsed> }

answer({
  /** Parses so many transactions, and looks for those that pay to the address of one in `share`. */
  async parse({ count, share }: { count: number; share: number }) {
    const hexes = Array.from({ length: count }, (_, i) => Buffer.from(transactionNumber(i)).toString('hex'))
    const address = (await bpu.parse({ tx: { r: hexes[1]! } })).out[1]!.e.a
    const [start, cpu] = [performance.now(), process.cpuUsage()]
    let found = 0
    for (const hex of hexes) {
      const { out } = await bpu.parse({ tx: { r: hex } })
      if (out.some(({ e }) => e.a === address)) found++
    }
    const ms = performance.now() - start
    const { user, system } = process.cpuUsage(cpu)
    if (found !== Math.ceil(count / share)) throw new Error(`bpu found ${found} transactions`)
    return { rate: (count / ms) * 1_000, cpuUs: (user + system) / count, mb: process.resourceUsage().maxRSS / 1024 }
  },
})
