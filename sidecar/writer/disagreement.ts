import { isLost } from '../../shared/ledger/block.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { PoolCore } from '../cores/core.ts'
import { treeHashOf } from '../cores/signed.ts'

/** Why appending to the core would fork it: it is not a prefix of the mirror, or the rebuilt core would differ from the one that was signed. */
export async function disagreement(
  stores: Stores,
  core: PoolCore,
  { path, coreLength, treeHash }: PoolControl,
  length: number,
): Promise<string | undefined> {
  const mend = `restore the mirror, then run \`overpool resume ${path}\`. Without a restore, resume rebuilds the hypercore from the mirror as it is, and peers that hold other blocks halt their copies`
  if (core.length > length) {
    const older =
      'if the ledger is an older copy, stop the machine and run `overpool restore` with its file: that adds the blocks of the hypercore'
    return `the hypercore of "${path}" has ${core.length} blocks, the mirror only ${length}: ${older}. Otherwise ${mend}`
  }
  // A core whose disk was lost must become the one that others have seen.
  if (core.length < coreLength && treeHash !== undefined && (await treeHashOf(stores, path, coreLength, core.tree())) !== treeHash)
    return `the mirror of "${path}" is not the one whose first ${coreLength} blocks were signed: ${mend}`
  if (core.length === 0) return undefined
  const [block] = await stores.blocks.read(path, core.length - 1, 1)
  if (block && isLost(block)) return undefined
  const isHere = await core.has(core.length - 1) // `get` of a missing block would wait until a peer sends it
  const signed = isHere ? await lastOf(core) : undefined
  if (!signed)
    return `block ${core.length - 1} of the hypercore of "${path}" has been lost: run \`overpool resume ${path}\` to rebuild the hypercore from the mirror`
  if (block && Buffer.compare(block.bytes, signed) === 0) return undefined
  return `block ${core.length - 1} of the hypercore of "${path}" is not that of the mirror: find out which was changed; ${mend}`
}

/** A block that is damaged on the disk fails each time. Fewer failures than this may be a passing fault. */
const READS = 5

/** The last block of a core; undefined if it is damaged on the disk. */
async function lastOf(core: PoolCore): Promise<Uint8Array | undefined> {
  for (let read = 1; ; read++) {
    try {
      return await core.get(core.length - 1)
    } catch {
      if (read === READS) return undefined
    }
  }
}
