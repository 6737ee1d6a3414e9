import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readHeader } from '../../shared/chain/header.ts'
import type { BitcoinSettings } from '../../shared/config/bitcoin.ts'
import { assembled, coinbase, regtest } from '../chain/blocks.ts'
import { installBpu } from './original.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, number } from './report.ts'
import { plain } from './transactions.ts'

/** Grids, by the share of all transactions that they want: one in so many. */
const SHARES = [1_000, 10]
/** Where `plain` has the key hash of its second output. */
const HASH_AT = 200

interface Run {
  rate: number
  cpuUs: number
  mb: number
}

/** Measures how fast a machine goes through blocks that lie there, from its start to the handler's call with the last one, compared with a loop that parses each transaction with `bpu`. */
export async function recorded({ smoke }: Effort): Promise<Figures> {
  const [blocks, inBlock, parsed] = smoke ? [3, 1_000, 100] : [100, 10_000, 50_000]
  const count = blocks * inBlock
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  try {
    const folder = join(dir, 'blocks')
    writeBlocks(folder, blocks, inBlock)
    const rows: string[][] = []
    const rates: number[] = []
    for (const share of SHARES) {
      const run = await readByMachine(join(dir, `machine-${share}`), folder, { blocks, count, share })
      rates.push(run.rate)
      rows.push(rowOf(`Overpool Cloud, an entry for one in ${number(share)}`, run))
    }
    const notes: string[] = []
    if (smoke) notes.push('bpu is left out of a smoke run: npm would have to install it.')
    else {
      const program = await Program.start('bpu', await installBpu())
      try {
        const run = await program.ask<Run>('parse', { count: parsed, share: SHARES[1] })
        rows.push(rowOf('parsed by `bpu`, and filtered in JavaScript', run), [
          `ratio to bpu, one in ${number(SHARES[0]!)} and one in ${number(SHARES[1]!)}`,
          rates.map((rate) => number(rate / run.rate)).join(', '),
          '',
          '',
        ])
        notes.push(`bpu parsed ${number(parsed)} of them, which lay in memory one by one as hex; it kept nothing.`)
      } finally {
        await program.kill()
      }
    }
    return {
      title: `recorded blocks: ${number(count)} transactions of 226 bytes in ${blocks} blocks in a folder, from the start to the handler's call with the last block`,
      rows: [['', 'transactions/s', 'processor, µs each', 'MB at most'], ...rows],
      goals: [],
      notes,
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function rowOf(what: string, { rate, cpuUs, mb }: Run): string[] {
  return [what, number(rate), number(cpuUs), number(mb)]
}

async function readByMachine(
  dir: string,
  folder: string,
  { blocks, count, share }: { blocks: number; count: number; share: number },
): Promise<Run> {
  mkdirSync(dir)
  const program = await Program.start(
    'bitcoin',
    dir,
    JSON.stringify({ network: 'regtest', broadcast: [], chain: [{ blocks: folder }] } satisfies BitcoinSettings),
  )
  try {
    const start = performance.now()
    await program.ask('create', { path: 'grid', options: { grid: { chain: { from: 1, filter: { scripts: [scriptOf(share)] } } } } })
    await program.ask('when', { txid: String(blocks), word: 'block' })
    const rate = (count / (performance.now() - start)) * 1_000
    const { cpu, mb, entries } = await program.ask<{ cpu: number; mb: number; entries: number }>('cost')
    if (entries !== Math.ceil(count / share)) throw new Error(`the pool has ${entries} transactions`)
    return { rate, cpuUs: cpu / count, mb }
  } finally {
    await program.kill()
  }
}

function writeBlocks(folder: string, blocks: number, inBlock: number): void {
  mkdirSync(folder)
  let previous: Uint8Array = regtest(0)
  writeFileSync(join(folder, `0-${readHeader(previous).hash}.bin`), previous)
  for (let height = 1; height <= blocks; height++) {
    const first = (height - 1) * inBlock
    const block = assembled([coinbase(height), ...Array.from({ length: inBlock }, (_, i) => transactionNumber(first + i))], { previous })
    previous = block.subarray(0, 80)
    writeFileSync(join(folder, `${height}-${readHeader(previous).hash}.bin`), block)
  }
}

/** Transaction i. One in so many pays to the script that a grid looks for. */
export function transactionNumber(i: number): Uint8Array {
  const bytes = plain(i)
  for (const [at, share] of SHARES.entries())
    if (i % share === at) {
      bytes.set(hashOf(share), HASH_AT)
      break
    }
  return bytes
}

function hashOf(share: number): Buffer {
  return Buffer.alloc(20, String(share))
}

function scriptOf(share: number): string {
  return `76a914${hashOf(share).toString('hex')}88ac`
}
