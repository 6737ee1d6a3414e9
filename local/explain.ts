import { accessSync, constants, readFileSync, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OverpoolError } from '../shared/errors.ts'
import { folderLayout } from './folder.ts'

/** A machine with handlers, hypercores and some connections needs this many open files. */
const MIN_FILES = 128
/** A disk with less room than this is full, bytes: SQLite's log could not grow by a block. */
const FULL_BYTES = 512 * 1024
/** SQLite's primary result codes. */
const SQLITE = { perm: 3, readOnly: 8, ioError: 10, corrupt: 11, full: 13, cannotOpen: 14, notADatabase: 26 }
const RAISE = 'raise the limit with `ulimit -n 4096`, or LimitNOFILE=65536 in a systemd unit'

/** What errors of Node and of SQLite carry. */
interface SystemError extends Error {
  code?: string
  path?: string
  errcode?: number
}

/**
 * An error whose cause lies in the surroundings of a machine, such as its disk or its user, as a sentence that names the path and what to do. Any other error as it is.
 * @param dir the machine's folder
 */
export function explained(error: unknown, dir: string): unknown {
  if (error instanceof OverpoolError && error.code !== 'UNAVAILABLE') return error
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const found = explain(cause, folderLayout(dir).ledger)
    if (found) return new OverpoolError(found.code, found.sentence, { cause: error })
  }
  return error
}

interface Explanation {
  code: 'UNAVAILABLE' | 'ACCESS_DENIED' | 'BAD_CONFIG'
  sentence: string
}

function explain({ code, path, errcode, message }: SystemError, ledger: string): Explanation | undefined {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return full(path ?? ledger)
    case 'EMFILE':
    case 'ENFILE':
      return { code: 'UNAVAILABLE', sentence: `this process may open no more files: ${RAISE}` }
    case 'EACCES':
    case 'EPERM':
      return path === undefined ? undefined : denied(path)
    case 'EROFS':
      return {
        code: 'ACCESS_DENIED',
        sentence: `${path} is on a file system that is read-only: name another folder with --dir or OVERPOOL_DIR`,
      }
    case 'ERR_MODULE_NOT_FOUND':
      return { code: 'BAD_CONFIG', sentence: missingPackage(message) }
    case 'ERR_SQLITE_ERROR':
      return explainSqlite((errcode ?? 0) & 0xff, message, ledger)
    default:
      // RocksDB, which holds the hypercores, says it in words alone.
      return message.includes('No space left on device') ? full(ledger) : undefined
  }
}

function explainSqlite(result: number, message: string, ledger: string): Explanation | undefined {
  switch (result) {
    case SQLITE.corrupt:
    case SQLITE.notADatabase:
      return {
        code: 'UNAVAILABLE',
        sentence: `${ledger} is damaged (${message}): put a backup in its place with \`overpool restore <file>\`, which takes newer entries from the hypercores beside it`,
      }
    case SQLITE.full:
      return full(ledger)
    case SQLITE.perm:
    case SQLITE.readOnly:
    case SQLITE.ioError:
    case SQLITE.cannotOpen:
      if (!isUsable(ledger)) return denied(ledger)
      if (isFull(ledger)) return full(ledger)
      return { code: 'UNAVAILABLE', sentence: `${ledger} cannot be used (${message}): look at the disk and its file system` }
    default:
      return undefined
  }
}

function full(path: string): Explanation {
  return { code: 'UNAVAILABLE', sentence: `the disk of ${path} is full: make room there, and nothing that was acknowledged is lost` }
}

function denied(path: string): Explanation {
  const owner = ownerOf(path)
  const user = process.getuid?.()
  const belongs = owner === undefined || owner === user ? 'does not let this user in' : `belongs to user ${owner}, and this is user ${user}`
  return {
    code: 'ACCESS_DENIED',
    sentence: `${path} ${belongs}: run the machine as the user that owns its folder, or give it the folder with \`chown -R\``,
  }
}

/** The user that owns a file, or the folder in which it would be. */
function ownerOf(path: string): number | undefined {
  for (let at = path; ; at = dirname(at)) {
    try {
      return statSync(at).uid
    } catch {
      if (at === dirname(at)) return undefined
    }
  }
}

function isUsable(path: string): boolean {
  try {
    accessSync(dirname(path), constants.W_OK)
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch (error) {
    return (error as SystemError).code === 'ENOENT'
  }
}

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path))
    return bavail * bsize < FULL_BYTES
  } catch {
    return false
  }
}

/** @param message Node's, which names the package */
function missingPackage(message: string): string {
  const [, name] = /'([^']+)'/.exec(message) ?? []
  return `the package ${name} is missing, which this version needs: run \`npm ci\` in ${fileURLToPath(new URL('..', import.meta.url))}`
}

/** Throws if this process may open too few files: parts of the machine would fail one by one, each with another error. */
export function checkFileLimit(): void {
  const limit = fileLimit()
  if (limit < MIN_FILES)
    throw new OverpoolError('UNAVAILABLE', `this process may open ${limit} files at a time, and a machine needs ${MIN_FILES}: ${RAISE}`)
}

function fileLimit(): number {
  try {
    return Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Number.POSITIVE_INFINITY)
  } catch {
    return Number.POSITIVE_INFINITY // only Linux tells
  }
}
