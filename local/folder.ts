import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { OverpoolError } from '../shared/errors.ts'

const SQLITE_BUSY = 5

/** What lies in a machine's folder. The ledger and the seed are what matters; the cores are made again from them (Promise 1). */
export function folderLayout(dir: string) {
  return {
    ledger: join(dir, 'ledger.sqlite'),
    cores: join(dir, 'cores'),
    seed: join(dir, 'seed'),
    lock: join(dir, 'lock.sqlite'),
    running: join(dir, 'running.json'),
    handlers: join(dir, 'handlers'),
  }
}

/** A running machine, as the command line finds it. */
export interface Running {
  pid: number
  urls: string[]
}

/**
 * Makes the folder a machine's own until `release`, or FOLDER_IN_USE. The lock is SQLite's on a file beside the ledger: the system gives it
 * back when the process dies in whatever way, so that nothing has to be cleaned up after a kill -9.
 * @param patienceMs how long to wait for another one: who only looks whether a machine runs holds the lock for a moment, too
 */
export function lockFolder(dir: string, giveUpMs = 1_000): { release: () => void } {
  makeFolder(dir)
  let lock: DatabaseSync
  try {
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    lock = new DatabaseSync(folderLayout(dir).lock, { timeout: giveUpMs })
  } catch (cause) {
    throw noFolder(dir, cause)
  }
  try {
    lock.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    lock.close()
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw noFolder(dir, cause)
    const other = readRunning(dir)
    throw new OverpoolError(
      'FOLDER_IN_USE',
      `another machine runs in ${dir}${other ? ` (process ${other.pid}${other.urls.length ? `, ${other.urls.join(', ')}` : ''})` : ''}; stop it first, or set OVERPOOL_DIR to another folder`,
      { cause },
    )
  }
  return {
    release() {
      rmSync(folderLayout(dir).running, { force: true })
      lock.close()
    },
  }
}

/** Makes the folder if there is none, or BAD_ARGUMENT. */
export function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw noFolder(dir, cause)
  }
}

function noFolder(dir: string, cause: unknown): OverpoolError {
  return new OverpoolError(
    'BAD_ARGUMENT',
    `${dir} cannot be the folder of a machine: ${cause instanceof Error ? cause.message : String(cause)}`,
    {
      cause,
    },
  )
}

/** Whether a machine runs in this folder at this moment. */
export function isRunning(dir: string): boolean {
  if (!existsSync(folderLayout(dir).lock)) return false
  try {
    lockFolder(dir, 0).release()
    return false
  } catch (error) {
    return error instanceof OverpoolError && error.code === 'FOLDER_IN_USE'
  }
}

export function writeRunning(dir: string, running: Running): void {
  writeFileSync(folderLayout(dir).running, JSON.stringify(running))
}

export function readRunning(dir: string): Running | undefined {
  try {
    return JSON.parse(readFileSync(folderLayout(dir).running, 'utf8')) as Running
  } catch {
    return undefined
  }
}

/**
 * The machine's secret, 32 bytes. Whoever has it can sign as any of the machine's pools.
 * @param make makes one if there is none: for a folder without a ledger
 */
export function readSeed(dir: string, make: boolean): Uint8Array {
  const file = folderLayout(dir).seed
  if (!existsSync(file)) {
    if (!make) throw new OverpoolError('BAD_CONFIG', `${file} is missing, and the ledger beside it was signed with it: put it back`)
    makeSeed(file)
  }
  const seed = Buffer.from(readFileSync(file, 'utf8').trim(), 'hex')
  if (seed.length !== 32)
    throw new OverpoolError(
      'BAD_CONFIG',
      `${file} does not hold 64 hex characters: put the right seed back, without it these pools cannot be signed`,
    )
  return seed
}

function makeSeed(file: string): void {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const fd = openSync(draft, 'r')
  fsyncSync(fd)
  closeSync(fd)
  linkSync(draft, file) // refuses to replace a seed
  rmSync(draft)
}
