import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { OverpoolError } from '../shared/errors.ts'

const SQLITE_BUSY = 5

/** The files of a machine's folder. Only the ledger and the seed matter: the cores are rebuilt from them (Promise 1). */
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
 * Locks the folder for a machine until `release`; FOLDER_IN_USE if another has it. It is SQLite's lock on a file beside the ledger: the system releases it when the process
 * dies, so nothing has to be cleaned up after a kill -9.
 * @param giveUpMs how long to wait for the lock: a check whether a machine runs holds it for a moment, too. Default: not long if a living process says that it has it
 */
export function lockFolder(dir: string, giveUpMs = isAlive(readRunning(dir)) ? 50 : 1_000): { release: () => void } {
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

/** Creates the folder if it does not exist, or throws BAD_ARGUMENT. */
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

function isAlive(running: Running | undefined): boolean {
  try {
    return running !== undefined && process.kill(running.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // another user's process
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
 * The machine's seed, 32 bytes. Its holder can sign as any of the machine's pools.
 * @param make create it if it does not exist: for a folder without a ledger
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
  linkSync(draft, file) // fails if there is a seed
  rmSync(draft)
}
