import type { Block } from '../../ledger/block.ts'
import { lengthOf } from '../blocks.ts'
import { AS_JSON, type Control, kindByName, type NewPool, type PoolControl, type PoolPatch, STORED_NAMES } from '../control.ts'
import { PARTITION } from './partitions.ts'
import type { DynamoProgress } from './progress.ts'
import type { DynamoStatuses } from './statuses.ts'
import { attributesOf, type Item, type Key, nothingStandsThere, type Table, text, valuesOf } from './table.ts'

/** The prefix of the sort keys of pools. */
const SORT = 'pool#'

const poolIsThere = 'attribute_exists(pk)'
/** A late write of a stopped writer must not set them back. */
const checkpointGoesOn = '#checkpoint <= :checkpoint'
const coreGoesOn = '#coreLength <= :coreLength'

/** Pools as items of `control`, sorted by `pool#<path>`. */
export class DynamoControl implements Control {
  readonly #table: Table
  readonly #progress: DynamoProgress
  readonly #statuses: DynamoStatuses

  constructor(table: Table, progress: DynamoProgress, statuses: DynamoStatuses) {
    this.#table = table
    this.#progress = progress
    this.#statuses = statuses
  }

  async create(pool: NewPool): Promise<PoolControl> {
    const { path, kind, key, discoveryKey, createdAt } = pool
    const fresh = { kind, key, discoveryKey, createdAt, checkpoint: 0, coreLength: 0, prunedBefore: 0 }
    if (await this.#table.put({ ...controlKey(path), ...attributesOf(fresh) }, nothingStandsThere)) return { path, ...fresh }
    return (await this.read(path))!
  }

  async read(path: string): Promise<PoolControl | undefined> {
    const item = await this.#table.get(controlKey(path))
    return item && controlOf(item)
  }

  async list(): Promise<PoolControl[]> {
    const pages = await Array.fromAsync(this.#table.pages(text(PARTITION.control), SORT))
    return pages.flat().map(controlOf)
  }

  async update(path: string, patch: PoolPatch): Promise<void> {
    const { checkpoint, coreLength, treeHash, ...rest } = patch
    const core: PoolPatch = { ...(coreLength !== undefined && { coreLength }), ...('treeHash' in patch && { treeHash }) }
    const parts: [fields: PoolPatch, condition?: string][] = [
      [rest],
      [checkpoint === undefined ? {} : { checkpoint }, checkpointGoesOn],
      [core, coreLength === undefined ? undefined : coreGoesOn],
    ]
    const changed = parts.filter(([fields]) => Object.keys(fields).length)
    const update = (fields: PoolPatch, conditions: (string | undefined)[]) =>
      this.#table.update(controlKey(path), attributesOf(storedOf(fields)), [poolIsThere, ...conditions].filter(Boolean).join(' AND '))
    if (!changed.length) return
    // Normally one request. If one part fails its condition, each part is written by itself.
    const fields: PoolPatch = Object.assign({}, ...changed.map(([fields]) => fields))
    const done = await update(
      fields,
      changed.map(([, condition]) => condition),
    )
    if (!done && changed.length > 1) for (const [fields, condition] of changed) await update(fields, [condition])
  }

  async beginAnew(path: string, last: Block | undefined): Promise<void> {
    const { blocks, entries } = lengthOf(last)
    for (const handler of await this.#progress.listHandlers(path)) {
      for (const { seq } of await this.#progress.listDead(handler, path))
        if (seq >= entries) await this.#progress.deleteDead(handler, path, seq)
      const { seq } = await this.#progress.readCursor(handler, path)
      if (seq >= entries) await this.#progress.setBack(handler, path, { seq: entries - 1, block: blocks, attempts: 0 })
    }
    const pool = await this.read(path)
    if (!pool) return
    if (pool.hasStatuses) await this.#statuses.forget(path)
    const checkpoint = pool.hasStatuses ? 0 : Math.min(pool.checkpoint, blocks)
    const prunedBefore = Math.min(pool.prunedBefore, entries)
    const anew = { rebuild: undefined, treeHash: undefined, coreLength: 0, checkpoint, prunedBefore }
    await this.#table.update(controlKey(path), attributesOf(anew), poolIsThere) // last: a crash before it repeats everything above
  }
}

function controlKey(path: string): Key {
  return { pk: text(PARTITION.control), sk: text(SORT + path) }
}

/** Fields under their stored names. */
function storedOf<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [STORED_NAMES[name as keyof PoolControl] ?? name, value])) as T
}

function controlOf(item: Item): PoolControl {
  const fields = valuesOf(item)
  for (const [name, stored] of Object.entries(STORED_NAMES)) {
    if (!(stored in fields)) continue
    fields[name] = fields[stored]
    delete fields[stored]
  }
  for (const field of AS_JSON) if (field in fields) fields[field] = JSON.parse(String(fields[field]))
  const path = item.sk!.S!.slice(SORT.length)
  return { path, kind: kindByName(path), ...fields } as unknown as PoolControl
}
