import { hints } from './hints.ts'
import { Program } from './program.ts'
import { recorded } from './recorded.ts'
import { type Effort, type Figures, median, number } from './report.ts'

const MB = 1024 * 1024
const SIZES = [10 * MB, 1024 * MB]
/** How much more memory the large block may take: the transactions that are found in it, with their proofs, are kept. */
const MAX_MORE_MB = 32

interface Rounds {
  rates: number[]
  cpuUs: number[]
}

interface Memory {
  rate: number
  before: number
  most: number
}

/** The filter of blocks alone, a machine that reads blocks that lie there, and one that hears of transactions as the network sees them. */
export async function chain(effort: Effort): Promise<Figures[]> {
  return [await filtered(effort), await recorded(effort), await hints(effort)]
}

/** Reads blocks of 226-byte transactions through the filter, with their Merkle root and the proofs of what is found, by turns with @bsv/sdk's parser; then a small and a large block. */
async function filtered({ smoke }: Effort): Promise<Figures> {
  const [count, rounds] = smoke ? [1_000, 1] : [100_000, 9]
  const sizes = smoke ? [MB / 4, MB] : SIZES
  const { ours, sdk } = await inOneProcess<{ ours: Rounds; sdk: Rounds }>('rates', { count, rounds })
  const memory: Memory[] = []
  for (const bytes of sizes) memory.push(await inOneProcess<Memory>('memory', { bytes }))
  const [small, large] = memory as [Memory, Memory]
  const rate = median(ours.rates)
  return {
    title: `chain: blocks of ${number(count)} transactions of 226 bytes, one thread; medians of ${rounds} rounds by turns`,
    rows: [
      ['', 'transactions/s', 'processor, µs each', 'MB at most', 'MB before'],
      ['read, checked and filtered', number(rate), number(median(ours.cpuUs)), '', ''],
      ['parsed by @bsv/sdk, with the txid', number(median(sdk.rates)), number(median(sdk.cpuUs)), '', ''],
      ['ratio', number(rate / median(sdk.rates)), number(median(sdk.cpuUs) / median(ours.cpuUs)), '', ''],
      ...memory.map((seen, i) => [
        `a block of ${number(sizes[i]! / MB)} MB`,
        number(seen.rate),
        '',
        number(seen.most / MB),
        number(seen.before / MB),
      ]),
    ],
    goals: [
      { what: '250,000 transactions/s', met: rate >= 250_000 },
      { what: `at most ${MAX_MORE_MB} MB more for 1 GB than for 10 MB`, met: large.most - small.most <= MAX_MORE_MB * MB },
    ],
    notes: ['The chunks of the two blocks are made while they are read, on the same thread: their transactions/s hold that, too.'],
  }
}

async function inOneProcess<T>(method: string, argument: unknown): Promise<T> {
  const program = await Program.start('chain')
  try {
    return await program.ask<T>(method, argument)
  } finally {
    await program.kill()
  }
}
