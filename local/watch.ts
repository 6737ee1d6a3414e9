import { existsSync, type FSWatcher, statSync, watch } from 'node:fs'
import { dirname, join, resolve, sep } from 'node:path'

/** Editors write a file in several steps: what changes within this time is one change, ms. */
const DEBOUNCE_MS = 60
/** The clock of a file system may be behind by this much, ms. */
const TICK_MS = 10

export interface FileWatchOptions {
  /** called once for changes that come close together */
  changed: () => void
  /** called once, if a folder cannot be watched */
  failed: (error: Error) => void
}

/** Watches files by their folders: editors replace files, and a watcher of the file itself would lose it. The caller closes it. */
export class FileWatch {
  readonly #options: FileWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  #files = new Set<string>()
  #hasFailed = false
  #pending: NodeJS.Timeout | undefined

  constructor(options: FileWatchOptions) {
    this.#options = options
  }

  /**
   * Watches these files and no others. Neither a file nor its folder need exist. A watched folder keeps its watcher: one that is closed and opened
   * again could miss a change.
   * @param since when the files began to be read, ms since 1970: a later change counts, also one from before they were watched
   */
  watch(files: Iterable<string>, since: number): void {
    this.#files = new Set(files)
    const folders = new Set(Array.from(this.#files, nearestFolder))
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue
      watcher.close()
      this.#watchers.delete(folder)
    }
    const added = new Set(Array.from(folders).filter((folder) => !this.#watchers.has(folder)))
    for (const folder of added) this.#watchFolder(folder)
    if (Array.from(this.#files).some((file) => added.has(dirname(file)) && changedAt(file) > since - TICK_MS)) this.#changed()
  }

  #changed(): void {
    clearTimeout(this.#pending)
    this.#pending = setTimeout(this.#options.changed, DEBOUNCE_MS)
  }

  #watchFolder(folder: string): void {
    try {
      const watcher = watch(folder, (_, name) => {
        if (name === null || this.#isOfInterest(join(folder, name))) this.#changed()
      })
      this.#watchers.set(
        folder,
        watcher.on('error', () => {}), // the folder was removed: there is nothing to watch any more
      )
    } catch (error) {
      if (!this.#hasFailed) this.#options.failed(error as Error)
      this.#hasFailed = true
    }
  }

  /** Whether it is one of the files, or a folder on the way to one that does not exist yet. */
  #isOfInterest(changed: string): boolean {
    return this.#files.has(changed) || Array.from(this.#files).some((file) => file.startsWith(changed + sep))
  }

  close(): void {
    clearTimeout(this.#pending)
    for (const watcher of this.#watchers.values()) watcher.close()
  }
}

/** ms since 1970; 0 if there is no such file. */
function changedAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.ctimeMs ?? 0
}

function nearestFolder(file: string): string {
  let folder = dirname(resolve(file))
  while (!existsSync(folder)) folder = dirname(folder)
  return folder
}
