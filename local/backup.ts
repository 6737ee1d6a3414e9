import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { OverpoolError, reasonOf } from '../shared/errors.ts'
import { type Block, decodeBlock, entriesOf } from '../shared/ledger/block.ts'
import { statusIn } from '../shared/ledger/status.ts'
import { cancel, settle } from '../shared/machine/settle.ts'
import { lengthOf } from '../shared/store/blocks.ts'
import type { PoolControl } from '../shared/store/control.ts'
import type { Stores } from '../shared/store/port.ts'
import { scanTransaction } from '../shared/transaction/index.ts'
import { CoreStore, poolKeys, type ReadCore } from '../sidecar/cores/core.ts'
import { TreeHash, treeHashOf } from '../sidecar/cores/signed.ts'
import { folderLayout, hasLedger, keepSeed, lockFolder, readSeed } from './folder.ts'
import { openLedgerFile } from './ports.ts'

/** More pages than a file can have: SQLite copies all of them in one step. In smaller ones it would begin anew after each write of the running machine. */
const ALL_PAGES = 2 ** 31 - 1
/** Blocks that are taken from a hypercore at once. */
const PAGE = 64
/** The table of a backup that has the machine's seed, beside the tables of the ledger. */
const SEED_TABLE = 'backup_seed'

export interface Restored {
  pools: number
  entries: number
  /** those of them that are newer than the backup: they were in the hypercores of the folder */
  fromCores: number
  /** where the ledger is that was in the folder before */
  aside?: string
  /** what became of pools that are younger than the backup, and why a hypercore gave nothing: a sentence each */
  notes: string[]
}

/**
 * Copies the ledger of a folder into one new file, at one moment, whether a machine runs or not, and however much is being written.
 * @param withSeed put the machine's seed into it as well; without the seed it cannot be restored
 * @returns bytes of the file
 */
export async function backUp(dir: string, file: string, withSeed: boolean): Promise<number> {
  const { ledger } = folderLayout(dir)
  if (!hasLedger(dir)) throw new OverpoolError('MACHINE_NOT_FOUND', `there is no machine in ${dir}, so there is nothing to back up`)
  if (existsSync(file)) throw new OverpoolError('BAD_ARGUMENT', `${file} exists already: name a new file`)
  const seed = withSeed ? readSeed(dir, false) : undefined
  const draft = `${file}.part`
  try {
    closeSync(openSync(draft, 'w', 0o600))
    await copyDatabase(ledger, draft)
    const copy = open(draft)
    try {
      copy.exec(`PRAGMA journal_mode=DELETE; CREATE TABLE ${SEED_TABLE} (seed BLOB NOT NULL)`)
      if (seed) copy.prepare(`INSERT INTO ${SEED_TABLE} VALUES (?)`).run(seed)
    } finally {
      copy.close()
    }
    sync(draft)
    renameSync(draft, file)
    sync(dirname(resolve(file)))
  } finally {
    rmSync(draft, { force: true })
  }
  return statSync(file).size
}

/**
 * Puts a backup in the place of the ledger of a folder. Its pools then get the newer blocks that their hypercores in the folder hold, so an older copy beside newer
 * hypercores loses nothing. What was handled after the backup is handled again.
 */
export async function restore(file: string, dir: string): Promise<Restored> {
  if (!existsSync(file)) throw new OverpoolError('BAD_ARGUMENT', `there is no file ${file}`)
  const lock = lockFolder(dir)
  const draftDir = join(dir, 'restoring')
  const draft = folderLayout(draftDir).ledger
  try {
    rmSync(draftDir, { recursive: true, force: true })
    mkdirSync(draftDir, { mode: 0o700 })
    closeSync(openSync(draft, 'w', 0o600))
    const seed = await readBackup(file, draft, dir)
    const restored = await completed(draftDir, dir, seed)
    keepSeed(dir, seed)
    const aside = putInPlace(draft, folderLayout(dir).ledger)
    return { ...restored, ...(aside !== undefined && { aside }) }
  } finally {
    rmSync(draftDir, { recursive: true, force: true })
    lock.release()
  }
}

/** Copies a backup, or a plain copy of a ledger, to `draft`. @returns the seed, which is checked */
async function readBackup(file: string, draft: string, dir: string): Promise<Uint8Array> {
  await copyDatabase(file, draft).catch((cause) => {
    throw noBackup(file, cause)
  })
  const copy = open(draft)
  try {
    const [check] = copy.prepare('PRAGMA quick_check(1)').all()
    if (Object.values(check ?? {})[0] !== 'ok') throw noBackup(file, new Error(String(Object.values(check ?? {})[0])))
    const tables = new Set(
      copy
        .prepare('SELECT name FROM sqlite_schema')
        .all()
        .map(({ name }) => name),
    )
    if (!tables.has('pools') || !tables.has('blocks')) throw noBackup(file, new Error('it has no pools'))
    const held = tables.has(SEED_TABLE)
      ? (copy.prepare(`SELECT seed FROM ${SEED_TABLE}`).get() as { seed: Uint8Array } | undefined)
      : undefined
    const seed = held?.seed ?? seedBeside(file, dir)
    copy.exec(`DROP TABLE IF EXISTS ${SEED_TABLE}`)
    return seed
  } catch (error) {
    throw error instanceof OverpoolError ? error : noBackup(file, error)
  } finally {
    copy.close()
  }
}

function seedBeside(file: string, dir: string): Uint8Array {
  const { seed } = folderLayout(dir)
  if (existsSync(seed)) return readSeed(dir, false)
  throw new OverpoolError('BAD_CONFIG', `${file} holds no seed, and there is none in ${dir}: put the machine's seed into ${seed} first`)
}

/** Adds the newer blocks of the hypercores to the pools of the draft. */
async function completed(draftDir: string, dir: string, seed: Uint8Array): Promise<Omit<Restored, 'aside'>> {
  const { stores, close } = openLedgerFile(draftDir)
  const { cores: folder } = folderLayout(dir)
  const notes: string[] = []
  let cores: CoreStore | undefined
  try {
    const pools = await stores.control.list()
    for (const { path, kind, key } of pools)
      if (kind !== 'peer' && poolKeys(seed, path).key !== key)
        throw new OverpoolError(
          'BAD_CONFIG',
          `the seed in ${dir} is not the one that "${path}" of the backup was made with: put the right one there`,
        )
    for (const pool of youngerOurs(await poolsBefore(dir), pools, seed)) {
      pools.push(await addPool(pool, stores))
      notes.push(`${pool.path} is younger than the backup: it was in the ledger that was here before, and its hypercore has its entries`)
    }
    if (existsSync(folder)) cores = new CoreStore(folder, seed, { readOnly: true })
    let [entries, fromCores] = [0, 0]
    for (const pool of pools) {
      if (cores && pool.kind !== 'peer' && !pool.rebuild)
        fromCores += await addBlocks(pool, stores, cores, seed).catch((error) => {
          notes.push(`the hypercore of ${pool.path} gave nothing: ${reasonOf(error)}`)
          return 0
        })
      entries += lengthOf(await stores.blocks.last(pool.path)).entries
    }
    const known = new Set(pools.map(({ key }) => key))
    for (const key of (await cores?.keys().catch(() => [])) ?? []) if (!known.has(key)) notes.push(withoutPool(key, dir))
    return { pools: pools.length, entries, fromCores, notes }
  } finally {
    await cores?.close().catch(() => {})
    close()
  }
}

/** The pools of the ledger that is in the folder; none if it cannot be read. */
async function poolsBefore(dir: string): Promise<PoolControl[]> {
  if (!existsSync(folderLayout(dir).ledger)) return []
  try {
    const { stores, close } = openLedgerFile(dir)
    return await stores.control.list().finally(close)
  } catch {
    return []
  }
}

/** The pools of this machine that the backup does not have. A peer's pool is subscribed to again instead, and comes from its publisher. */
function youngerOurs(before: PoolControl[], backedUp: PoolControl[], seed: Uint8Array): PoolControl[] {
  const known = new Set(backedUp.map(({ path }) => path))
  return before.filter(({ path, kind, key }) => kind !== 'peer' && !known.has(path) && poolKeys(seed, path).key === key)
}

/** A pool without entries, as it was wanted: published, encrypted or not, its older entries archived. */
async function addPool(
  { path, kind, key, discoveryKey, createdAt, desired, settings, prunedBefore }: PoolControl,
  { control }: Stores,
): Promise<PoolControl> {
  await control.create({ path, kind, key, discoveryKey, createdAt })
  await control.update(path, { prunedBefore, ...(desired && { desired }), ...(settings && { settings }) })
  return (await control.read(path))!
}

/** Its pool's name is in no ledger that can be read, and cannot be computed from its key. */
function withoutPool(key: string, dir: string): string {
  const { ledger } = folderLayout(dir)
  return `the hypercore ${key} belongs to no pool of the backup. If it is a pool of this machine, name it in the config again, start the machine, which halts it, stop it, and run \`overpool restore ${ledger}\`: that adds its entries. If it is a peer's, \`overpool sub ${key}\``
}

/** @returns how many entries were added */
async function addBlocks({ path, key, desired, halted }: PoolControl, stores: Stores, cores: CoreStore, seed: Uint8Array): Promise<number> {
  const secret = desired?.encrypt ? poolKeys(seed, path).secret : undefined
  const core = await cores.read(key, secret)
  try {
    const { blocks: length, entries } = lengthOf(await stores.blocks.last(path))
    if (core.length <= length) return 0
    if (length && (await treeHashOf(stores, path, length, new TreeHash({ key, secret }))) !== (await core.treeHash(length)))
      throw new Error(`its first ${length} blocks are not those of the backup`)
    for (let n = length; n < core.length; n += PAGE) {
      const blocks = await blocksOf(core, n, Math.min(core.length, n + PAGE))
      if (blocks.length) await stores.blocks.putAll(path, blocks)
      for (const block of blocks) await settleAgain(path, block, stores)
      if (blocks.length < PAGE) break
    }
    if (halted !== undefined) await stores.control.update(path, { halted: undefined }) // an older copy that was started halts for what it lacks
    return lengthOf(await stores.blocks.last(path)).entries - entries
  } finally {
    await core.close()
  }
}

/** What the entries of a block have paid, which the backup does not know: an invoice that is paid is not paid once more. */
async function settleAgain(pool: string, block: Block, stores: Stores): Promise<void> {
  for (const [i, entry] of entriesOf(block).entries()) {
    if (entry.kind === 'tx' && entry.invoice)
      await settle(stores, { pool, entry: entry.id, said: entry.invoice, transaction: scanTransaction(entry.tx), at: entry.at })
    const status = statusIn(entry)
    if (entry.kind === 'status' && status) await stores.statuses.put(pool, [{ txid: entry.of.txid, seq: block.first + i, ...status }]) // a payment that was refused counts no longer
    if (entry.kind === 'invoice' && entry.invoice.state === 'cancelled') await cancel(stores, pool, entry.invoice.id, entry.at)
  }
}

/** The blocks of a hypercore from one number to another, as far as they are here. */
async function blocksOf(core: ReadCore, from: number, to: number): Promise<Block[]> {
  const blocks: Block[] = []
  for (let n = from; n < to && (await core.has(n)); n++) {
    const bytes = await core.get(n)
    const { first, entries } = decodeBlock(bytes)
    blocks.push({ n, first, count: entries.length, bytes })
  }
  return blocks
}

/** Writes the log of a ledger into it, so that a power failure between two renames leaves no older state. A damaged ledger is put aside as it is. */
function foldLog(ledger: string): void {
  try {
    const db = open(ledger)
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    db.close()
  } catch {}
}

/** Puts the draft in the ledger's place, and the ledger aside. @returns where that is */
function putInPlace(draft: string, ledger: string): string | undefined {
  if (!existsSync(ledger)) {
    renameSync(draft, ledger)
    sync(dirname(ledger))
    return undefined
  }
  foldLog(ledger)
  const aside = `${ledger}.before-${new Date().toISOString().replace(/[:.]/g, '-')}`
  linkSync(ledger, aside)
  // A log belongs to its file: beside the draft, SQLite would write it into that.
  for (const log of ['-wal', '-shm']) if (existsSync(ledger + log)) renameSync(ledger + log, aside + log)
  renameSync(draft, ledger)
  sync(dirname(ledger))
  return aside
}

async function copyDatabase(from: string, to: string): Promise<void> {
  const { backup } = process.getBuiltinModule('node:sqlite')
  const source = open(from)
  try {
    await backup(source, to, { rate: ALL_PAGES })
  } finally {
    source.close()
  }
}

function open(file: string): DatabaseSync {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  return new DatabaseSync(file, { timeout: 10_000 })
}

/** Waits until a file, or a folder's list of files, is on disk. */
function sync(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function noBackup(file: string, cause: unknown): OverpoolError {
  return new OverpoolError('BAD_ARGUMENT', `${file} is no backup of a machine, or is damaged: ${reasonOf(cause)}`, { cause })
}
