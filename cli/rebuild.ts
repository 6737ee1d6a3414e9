import { localSecrets } from '../shared/broadcast/secret.ts'
import { OverpoolError } from '../shared/errors.ts'
import { inLine } from '../shared/printed.ts'
import { wantedBy } from '../sidecar/chain/grids.ts'
import { type Compared, rebuildFromChain } from '../sidecar/chain/rebuild.ts'
import { openSources } from '../sidecar/chain/sources.ts'
import type { CommandContext } from './commands.ts'
import { readConfig } from './config.ts'
import { withMachine } from './machine.ts'
import { count } from './out.ts'

/** How many transactions are named to people. */
const MAX_LISTED = 20

export interface RebuildFlags {
  verify?: boolean
  from?: number
  config: string
}

/** Prints what the chain alone says of a pool, or compares it with what the pool says. @returns whether they agree */
export async function rebuild(
  path: string,
  { verify = false, from, config: file }: RebuildFlags,
  { where, out }: CommandContext,
): Promise<boolean> {
  const config = await readConfig(file)
  if (!config.bitcoin?.chain?.length)
    throw new OverpoolError(
      'BAD_CONFIG',
      `${file} does not say where the chain is read: set bitcoin.chain, such as [{ node: 'http://127.0.0.1:8332' }]`,
    )
  const sources = await openSources(config.bitcoin, localSecrets(process.env))
  try {
    return await withMachine(where, async (machine) => {
      const pool = await machine.pools.control(path)
      const progress = out.progress('read', 'blocks')
      const found = verify
        ? undefined
        : ({ tx, ...one }: { tx: Uint8Array; txid: string; height: number }) => out.show({ ...one, tx }, `${one.txid}  block ${one.height}`)
      const wanted = wantedBy(config.pools[path] ?? {}, pool)
      const compared = await rebuildFromChain(path, {
        stores: machine.stores,
        source: sources[0]!,
        wanted,
        from,
        found,
        progress: progress.show,
      }).finally(progress.end)
      if (verify) out.show(compared, linesOf(path, compared).join('\n'))
      return !verify || (!compared.differ.length && !compared.missing.length)
    })
  } finally {
    for (const source of sources) await source.close()
  }
}

function linesOf(path: string, { from, to, agreed, notOnChain, missing, differ }: Compared): string[] {
  const listed = [...missing.map((txid) => `${txid} is on the chain, and not in the pool`), ...differ]
  return [
    `${path}: blocks ${from} to ${to} were read`,
    `${count(agreed, 'transaction is', 'transactions are')} mined in the block that the pool names`,
    `${count(notOnChain, 'transaction of the pool is', 'transactions of the pool are')} in none of these blocks`,
    ...listed.slice(0, MAX_LISTED).map(inLine),
    ...(listed.length > MAX_LISTED ? [`and ${listed.length - MAX_LISTED} more (--json lists all)`] : []),
    listed.length
      ? `the pool and the chain differ in ${count(listed.length, 'transaction', 'transactions')}`
      : 'the pool and the chain agree',
  ]
}
