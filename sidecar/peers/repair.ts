import { isLost } from '../../shared/ledger/block.ts'
import type { Blocks, StoredBlock } from '../../shared/store/blocks.ts'
import { isReadable } from '../../shared/store/checksum.ts'
import type { PoolControl, Repair } from '../../shared/store/control.ts'
import { checkPeerBlock } from './peer-block.ts'

/** Blocks read at once. */
const PAGE = 64

/** Where the good bytes of a block may be: the pool's hypercore, here or at a peer. */
export interface BlockSource {
  /** undefined if they cannot be had */
  get(n: number): Promise<Uint8Array | undefined>
}

/**
 * Puts good bytes in the place of each damaged or missing block of a pool, of each lost one that can be had by now, and of each that an earlier version wrote without a checksum. A damaged
 * block that cannot be had counts as lost.
 */
export async function repairBlocks(
  { path, begins }: Pick<PoolControl, 'path' | 'begins'>,
  blocks: Blocks,
  source: BlockSource,
): Promise<NonNullable<Repair['done']>> {
  const done: NonNullable<Repair['done']> = { repaired: 0, lost: [] }
  let next = begins ? undefined : 0
  let n = begins?.block ?? 0
  /** the block before has no entries, so the numbers may jump ahead */
  let gap = false
  const mend = async (stored: StoredBlock) => {
    const isGood = stored.isChecked && isThere(stored)
    const good = isGood ? undefined : await source.get(n)
    const checked = good && checkPeerBlock(n, good, next, gap)
    // An invalid block of a peer stays as it is: an earlier version, with other limits, may have taken it.
    if (checked && (checked.problem === undefined || !isThere(stored))) {
      const { block } = checked
      await blocks.replace(path, block)
      if (!isSame(stored, good)) done.repaired++
      next = block.first + block.count
      gap = block.count === 0
    } else if (isGood || isReadable(stored) || checked) {
      next = stored.first + stored.count
      gap = stored.count === 0
    } else {
      const [after] = await blocks.inspect(path, n + 1, 1)
      const first = next ?? stored.first
      next = after && after.first >= first ? after.first : first + stored.count // the numbers of its entries stay theirs
      const aside = await blocks.lose(path, { n, first, count: next - first })
      if (aside !== undefined) done.aside = aside
      done.lost.push(n)
      gap = false
    }
  }
  for (let page = await blocks.inspect(path, n, PAGE); page.length; page = await blocks.inspect(path, n, PAGE)) {
    for (const stored of page) {
      for (; n < stored.n; n++) await mend({ n, first: next ?? stored.first, count: 0, isChecked: false }) // it is missing
      await mend(stored)
      n++
    }
  }
  return done
}

/** Whether a block has its bytes, good or not. */
function isThere({ count, bytes }: StoredBlock): boolean {
  return bytes !== undefined && !isLost({ count, bytes })
}

function isSame({ bytes }: StoredBlock, good: Uint8Array): boolean {
  return bytes !== undefined && Buffer.compare(bytes, good) === 0
}
