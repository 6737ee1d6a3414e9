import { resolve } from 'node:path'
import { backUp, restore } from '../local/backup.ts'
import type { CommandContext } from './commands.ts'
import { count } from './out.ts'

type InFolder = CommandContext<{ dir: string }>

export async function backup(file: string, { seed }: { seed: boolean }, { where: { dir }, out }: InFolder): Promise<void> {
  const bytes = await backUp(dir, resolve(file), seed)
  const secret = seed ? ', with the seed: keep it secret' : ', without the seed'
  out.show({ file: resolve(file), bytes, seed }, `${file}  ${bytes} bytes${secret}`)
}

export async function restoreBackup(file: string, { where: { dir }, out }: InFolder): Promise<void> {
  const restored = await restore(resolve(file), dir)
  const { pools, entries, fromCores, aside, notes } = restored
  const newer = fromCores ? `, ${fromCores} of them newer than the backup, from the hypercores` : ''
  const lines = [
    `restored ${count(pools, 'pool', 'pools')} with ${count(entries, 'entry', 'entries')}${newer}; \`overpool start\` goes on with them`,
    ...notes,
    ...(aside === undefined ? [] : [`the ledger that was here before is ${aside}`]),
  ]
  out.show({ dir, ...restored }, lines.join('\n'))
}
