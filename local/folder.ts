import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { messageOf, OverpoolError } from '../shared/errors.ts'

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
    invoiceKeys: join(dir, 'invoice-keys'),
    budget: join(dir, 'budget.sqlite'),
    studioToken: join(dir, 'studio-token'),
  }
}

/** Which of them are folders. */
const FOLDERS: ReadonlySet<string> = new Set<keyof ReturnType<typeof folderLayout>>(['cores', 'handlers'])
/** Files that SQLite keeps beside its own, by what it adds to the name. */
const BESIDE_SQLITE = ['-wal', '-shm', '-journal']

/** A running machine, as the command line finds it. */
export interface Running {
  pid: number
  urls: string[]
  /** whether it hands transactions to Bitcoin */
  broadcasts?: boolean
  /** where wallets reach it, and where money comes to, if its config says so */
  url?: string
  receive?: string
  /** whether its chain is that of a test network, and whether it looks there for what is sent to the addresses of invoices */
  isTest?: boolean
  watches?: boolean
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
    makePrivateFile(folderLayout(dir).lock)
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

/**
 * Creates the folder if it does not exist, and keeps it private: nobody but its user may read payments, keys and handlers, whatever the umask was when a file was made.
 * BAD_ARGUMENT if that cannot be done.
 */
export function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw noFolder(dir, cause)
  }
  setMode(dir, 0o700, ['EPERM']) // a mounted folder may belong to another user: what is in it is ours
  for (const [name, path] of Object.entries(folderLayout(dir))) {
    setMode(path, FOLDERS.has(name) ? 0o700 : 0o600)
    if (path.endsWith('.sqlite')) for (const suffix of BESIDE_SQLITE) setMode(path + suffix, 0o600)
  }
}

/** Creates an empty private file, if there is none, for a program that would create it with the rights of the umask. SQLite gives its other files the same rights. */
export function makePrivateFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600)) // never opened if it exists: closing it would end SQLite's locks on it
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  setMode(path, 0o600)
}

/** Sets the mode of a file, if it exists and has another one. @param except failures that do not matter */
function setMode(path: string, mode: number, except: string[] = []): void {
  try {
    if ((statSync(path).mode & 0o777) !== mode) chmodSync(path, mode)
  } catch (error) {
    if (!['ENOENT', ...except].includes((error as NodeJS.ErrnoException).code ?? '')) throw error // a running machine may just have removed it
  }
}

function noFolder(dir: string, cause: unknown): OverpoolError {
  return new OverpoolError('BAD_ARGUMENT', `${dir} cannot be the folder of a machine: ${messageOf(cause)}`, {
    cause,
  })
}

/** Whether a folder has a ledger. A folder that this user may not look into is not an empty one: that is an error. */
export function hasLedger(dir: string): boolean {
  return statSync(folderLayout(dir).ledger, { throwIfNoEntry: false }) !== undefined
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
  writeFileSync(folderLayout(dir).running, JSON.stringify(running), { mode: 0o600 })
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

/** Puts a seed into a folder. BAD_CONFIG if it has another one: the ledger in it was signed with that. */
export function keepSeed(dir: string, seed: Uint8Array): void {
  const file = folderLayout(dir).seed
  if (!existsSync(file)) makeSeed(file, seed)
  else if (Buffer.compare(readSeed(dir, false), seed) !== 0)
    throw new OverpoolError('BAD_CONFIG', `${file} is the seed of another machine: restore into another folder`)
}

function makeSeed(file: string, seed: Uint8Array = randomBytes(32)): void {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${Buffer.from(seed).toString('hex')}\n`, { mode: 0o600 })
  const fd = openSync(draft, 'r')
  fsyncSync(fd)
  closeSync(fd)
  linkSync(draft, file) // fails if there is a seed
  rmSync(draft)
}
