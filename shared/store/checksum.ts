import zlib from 'node:zlib' // not by name: on an old Node such an import fails before the sentence that Node is too old
import { OverpoolError } from '../errors.ts'
import { type Block, entriesOf, isLost } from '../ledger/block.ts'
import type { Blocks, StoredBlock } from './blocks.ts'
import type { Control } from './control.ts'

/** The checksum of a block with its place, over the bytes as they are stored: CRC-32. It finds damage, not forgery: a block that was changed on purpose is found by its signature. */
export function checksumOf(pool: string, { n, first, count }: Omit<Block, 'bytes'>, stored: Uint8Array): number {
  return zlib.crc32(stored, zlib.crc32(`${pool} ${n} ${first} ${count}`))
}

/** The error of a damaged block. */
export function damagedBlock(pool: string, n: number, cause?: unknown): OverpoolError {
  return new OverpoolError(
    'BLOCK_DAMAGED',
    `block ${n} of "${pool}" is damaged in the ledger, so the pool is halted: run \`overpool repair ${pool}\`, which takes the block from the hypercore or from a peer`,
    { cause },
  )
}

export function isDamage(error: unknown): error is OverpoolError {
  return error instanceof OverpoolError && error.code === 'BLOCK_DAMAGED'
}

/** Whether the bytes of a block can be read. */
export function isReadable({ count, bytes }: Pick<StoredBlock, 'count' | 'bytes'>): boolean {
  try {
    return bytes !== undefined && entriesOf({ count, bytes }).length === count
  } catch {
    return false
  }
}

/** Halts a pool with the sentence of a damaged block. A reader without the right to do so has at least the error; a reader with it finds the damage, too. */
export async function haltDamaged(blocks: Blocks, control: Control, pool: string, n: number, { message }: OverpoolError): Promise<void> {
  try {
    const item = await control.read(pool)
    if (!item || item.halted !== undefined) return
    const [stored] = await blocks.inspect(pool, n, 1)
    const isRepaired = stored?.n === n && (isReadable(stored) || isLost(stored)) // since the reader read it
    const { at, done } = item.repair ?? {}
    if (!isRepaired) await control.update(pool, { halted: message, repair: { ...(at !== undefined && !done && { at }), damaged: n } })
  } catch {
    // The next reader of the block halts it.
  }
}
