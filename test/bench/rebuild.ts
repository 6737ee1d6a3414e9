import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Emulators } from '../aws/emulators.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, number } from './report.ts'

interface Built {
  openMs: number
  wholeMs: number
  rss: number
}

/** A new task of the sidecar has an empty disk: how soon a pool takes posts again, and how soon its hypercore is whole. */
export async function rebuild({ smoke }: Effort): Promise<Figures> {
  const entries = smoke ? 2_000 : 1_000_000
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  await using emulators = await Emulators.start()
  const start = () => Program.start('rebuild', JSON.stringify(emulators.place), dir)
  let sidecar = await start()
  try {
    const { blocks, bytes } = await sidecar.ask<{ blocks: number; bytes: number }>('fill', entries)
    await sidecar.kill()
    sidecar = await start()
    const first = await sidecar.ask<Built>('build', 'first')
    const hash = await sidecar.ask<string>('treeHash')
    rmSync(join(dir, 'first'), { recursive: true })
    const again = await sidecar.ask<Built>('build', 'again')
    const here = await sidecar.ask<Built>('build', 'again')
    const row = (what: string, { openMs, wholeMs, rss }: Built) => [
      what,
      ...[openMs / 1_000, wholeMs / 1_000, rss / 1024 / 1024].map(number),
    ]
    return {
      title: `rebuild: a pool of ${number(entries)} entries in ${number(blocks)} full blocks, ${number(bytes / 1e6)} MB, from DynamoDB and S3 in memory`,
      rows: [
        ['', 's until it takes posts', 's until the hypercore is whole', 'resident MB'],
        row('made for the first time', first),
        row('disk lost: checked against what was signed, and made again', again),
        row('disk kept', here),
      ],
      notes: [
        `Other pools wait for none of it. S3 itself answers in some 20 ms, to sixteen blocks at a time: which adds ${number((blocks * 20) / 16 / 1_000)} s to each time that the pool is read: once to check it, once to make it.`,
      ],
      goals: [{ what: 'made again it is what was signed', met: (await sidecar.ask<string>('treeHash')) === hash && hash !== undefined }],
    }
  } finally {
    await sidecar.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}
