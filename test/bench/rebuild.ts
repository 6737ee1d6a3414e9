import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MAX_BLOCK_ENTRIES } from '../../shared/ledger/block.ts'
import { Emulators } from '../aws/emulators.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, number } from './report.ts'

/** The entries of a pool, and how they fill its blocks. */
interface Shape {
  pool: string
  count: number
  inBlock: number
}

interface Built {
  openMs: number
  wholeMs: number
  rss: number
}

/** Measures a new sidecar task, which has an empty disk: the time until a pool takes posts again, and until its hypercore is complete. */
export async function rebuild({ smoke }: Effort): Promise<Figures> {
  const shapes: Shape[] = [
    { pool: 'full-blocks', count: smoke ? 2_000 : 1_000_000, inBlock: MAX_BLOCK_ENTRIES },
    { pool: 'one-by-one', count: smoke ? 100 : 50_000, inBlock: 1 },
  ]
  const measured: Measured[] = []
  for (const shape of shapes) measured.push(await measure(shape))
  return {
    title:
      'rebuild: pools from DynamoDB and S3 in memory; s until a pool takes posts, until its hypercore is whole, and what is resident then',
    rows: [['', 'takes posts', 'whole', 'MB'], ...measured.flatMap(({ rows }) => rows)],
    notes: [
      `Other pools wait for none of it. S3 itself, where full blocks are, answers in some 20 ms, to sixteen at a time: which adds ${number((measured[0]!.blocks * 20) / 16 / 1_000)} s to each time that the first pool is read: once to check it, once to make it.`,
    ],
    goals: [{ what: 'the rebuilt hypercore equals the signed one', met: measured.every(({ isSame }) => isSame) }],
  }
}

interface Measured {
  rows: string[][]
  blocks: number
  isSame: boolean
}

async function measure(shape: Shape): Promise<Measured> {
  const { pool, count } = shape
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  await using emulators = await Emulators.start()
  const start = () => Program.start('rebuild', JSON.stringify(emulators.place), dir)
  let sidecar = await start()
  try {
    const { blocks, bytes } = await sidecar.ask<{ blocks: number; bytes: number }>('fill', shape)
    const build = (disk: string) => sidecar.ask<Built>('build', { pool, disk })
    const treeHash = () => sidecar.ask<string>('treeHash', pool)
    await sidecar.kill()
    sidecar = await start()
    const first = await build('first')
    const hash = await treeHash()
    rmSync(join(dir, 'first'), { recursive: true })
    const again = await build('again')
    const here = await build('again')
    const row = (what: string, { openMs, wholeMs, rss }: Built) => [
      what,
      ...[openMs / 1_000, wholeMs / 1_000, rss / 1024 / 1024].map(number),
    ]
    const rows = [
      row(`${number(count)} entries in ${number(blocks)} blocks, ${number(bytes / 1e6)} MB: made for the first time`, first),
      row('– disk lost: checked against what was signed, and made again', again),
      row('– disk kept', here),
    ]
    return { rows, blocks, isSame: hash !== undefined && (await treeHash()) === hash }
  } finally {
    await sidecar.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}
