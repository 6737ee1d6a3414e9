import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { OverpoolError } from '../errors.ts'
import { checked, checkName, nameOf, noBlob } from './named.ts'
import type { Blobs } from './port.ts'

/** Blobs as files: `<dir>/ab/abcd…`, in subfolders so that no folder grows too long. */
export class FolderBlobs implements Blobs {
  readonly #dir: string
  readonly #folders = new Map<string, Promise<void>>()

  constructor(dir: string) {
    this.#dir = resolve(dir)
  }

  async put(bytes: Uint8Array): Promise<string> {
    const sha256 = nameOf(bytes)
    const file = this.#file(sha256)
    const folder = dirname(file)
    // Under another name first: a file that bears its sha256 is whole, whenever the power goes. Written again even if it is there: that mends a damaged one.
    const unfinished = join(folder, `${sha256}.${randomUUID()}.tmp`)
    try {
      await this.#make(folder)
      await writeDurably(unfinished, bytes)
      await rename(unfinished, file)
      await syncFolder(folder)
    } catch (cause) {
      await rm(unfinished, { force: true }).catch(() => {})
      throw new OverpoolError('UNAVAILABLE', `the blob could not be written to ${folder}`, { cause, retryable: true })
    }
    return sha256
  }

  async get(sha256: string): Promise<Uint8Array> {
    const file = this.#file(sha256)
    const bytes = await readFile(file).catch((cause) => {
      if (cause.code === 'ENOENT') throw noBlob(sha256, cause)
      throw new OverpoolError('UNAVAILABLE', `the blob ${file} could not be read`, { cause, retryable: true })
    })
    return checked(sha256, bytes)
  }

  /** Makes a subfolder, once; it may be there already and yet not be durable, if another process made it just now. */
  #make(folder: string): Promise<void> {
    let made = this.#folders.get(folder)
    if (!made) {
      made = makeDurably(folder, this.#dir)
      this.#folders.set(folder, made)
      made.catch(() => this.#folders.delete(folder))
    }
    return made
  }

  #file(sha256: string): string {
    checkName(sha256)
    return join(this.#dir, sha256.slice(0, 2), sha256)
  }
}

async function makeDurably(folder: string, dir: string): Promise<void> {
  const first = (await mkdir(folder, { recursive: true })) ?? folder
  const top = first.length < dir.length ? first : dir // the parents of all that is new, `dir` among them
  for (let at = dirname(folder); at.length >= dirname(top).length; at = dirname(at)) {
    await syncFolder(at)
    if (at === dirname(at)) return
  }
}

async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  await using handle = await open(file, 'wx')
  await handle.writeFile(bytes)
  await handle.sync()
}

// A name is durable when its folder is: fsync of the file alone keeps the bytes and may lose the way to them. Windows has no such call, nor the need.
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  await using handle = await open(folder, 'r')
  await handle.sync()
}
