import type { TxEntry } from '../../shared/ledger/kinds.ts'
import { decodeValue } from '../../shared/state/values.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { isCounted } from './handler.ts'
import { treeHashOf } from './ports.ts'
import type { World } from './world.ts'

/** Describes the first law that does not hold in a world at rest. Laws that can be checked earlier are reported when they break. */
export function brokenLaw(world: World): string | undefined {
  const { stores, userHandlers } = world
  const isGivenUp = (handler: string, path: string, seq: number) =>
    stores.progress.listDead(handler, path).some((letter) => letter.seq === seq)
  const all = world.paths.flatMap((path) =>
    stores.pool(path).entries.map((entry, seq) => ({ path, seq, entry, key: stores.pool(path).control.key })),
  )
  for (const { pool, ...post } of world.users.acknowledged.values())
    if (!world.isIn(pool, post)) return `lost: ${post.id} of ${pool} was acknowledged`

  for (const path of world.paths) {
    const { control, blocks, entries, receipts } = stores.pool(path)
    const txids = entries.map((entry) => scanTransaction((entry as TxEntry).tx).txid)
    if (world.settings(path).unique === 'transaction' && new Set(txids).size < txids.length) return `a transaction is in ${path} twice`
    for (const [seq, { id, source }] of entries.entries()) {
      const found = [...receipts.values()].filter((receipt) => receipt.id === id)
      if (found.some((receipt) => receipt.seq !== seq)) return `a receipt of ${path} #${seq} points to another entry`
      if (!found.length || (source === 'handler' && found.length < 2)) return `no receipt of ${path} #${seq}`
    }
    if (blocks.length && control.coreLength === blocks.length && control.treeHash !== treeHashOf(blocks.map(({ bytes }) => bytes)))
      return `the tree hash of ${path} is not that of its blocks`
  }

  for (const path of world.paths) {
    const paying = stores.pool(path).entries.flatMap((entry) => ((entry as TxEntry).invoice ? [entry as TxEntry] : []))
    for (const id of new Set(paying.map(({ invoice }) => invoice!.id))) {
      const paid = paying.filter(({ invoice }) => invoice!.id === id && invoice!.state === 'paid')
      if (paid.length !== 1) return `${id} of ${path} was paid ${paid.length} times`
    }
  }
  for (const [id, { pool, invoice }] of world.users.toldPaid) {
    const entry = stores.pool(pool).entries.find((one) => one.id === id) as TxEntry | undefined
    if (entry?.invoice?.state !== 'paid') return `the payer of ${id} was told that ${invoice} is paid, and ${pool} does not say so`
  }

  for (const { path, seq, entry, key } of all) {
    for (const handler of world.handlers) {
      const run = `${handler} ${path} ${seq}`
      const isDead = isGivenUp(handler, path, seq)
      if (!userHandlers.ended.has(run) && !isDead) return `handler ${handler} never ran for ${path} #${seq}, nor gave it up`
      if (world.isFaultless && !isDead && userHandlers.runs(handler, path, seq) > 1)
        return `handler ${handler} ran twice for ${path} #${seq} though nothing failed`
    }
    const next = all.filter(({ entry: { cause } }) => cause?.key === key && cause.seq === seq).length
    const [least, most] = userHandlers.followers(path, seq, entry as TxEntry, isGivenUp('main', path, seq))
    if (next < least || next > most) return `the loop step of ${path} #${seq} (hops ${entry.hops}) was posted ${next} times`
  }
  for (const handler of world.handlers) {
    for (const path of world.paths) {
      const value = (key: string) => {
        const bytes = stores.state.get(handler, path, key)
        return bytes ? (decodeValue(bytes) as number) : 0
      }
      const counted = all.filter((one) => one.path === path && isCounted(one.entry as TxEntry))
      for (const { seq } of counted) {
        const expected = isGivenUp(handler, path, seq) ? 0 : 1
        if (value(`entry ${seq}`) !== expected)
          return `the state of ${handler} counts ${path} #${seq} ${value(`entry ${seq}`)} times, not ${expected}`
      }
      const sum = counted.filter(({ seq }) => !isGivenUp(handler, path, seq)).length
      if (value('entries') !== sum) return `the state of ${handler} counts ${value('entries')} entries in ${path}, and ${sum} were handled`
    }
  }
  return world.unrest && `it does not come to rest: ${world.unrest}`
}
