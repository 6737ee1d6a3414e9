import { existsSync, type FSWatcher, watch } from 'node:fs'
import { dirname, join } from 'node:path'

/** Editors write a file in several steps: what changes within this time is one change, ms. */
const DEBOUNCE_MS = 60

/** Watches files by their folders: editors replace files, and a watcher of the file itself would lose it. The caller closes it. */
export class FileWatch {
  readonly #isOfInterest: (file: string) => boolean
  readonly #changed: () => void
  readonly #watchers = new Map<string, FSWatcher>()
  #pending: NodeJS.Timeout | undefined

  /**
   * @param isOfInterest whether a change of this file counts
   * @param changed called once for changes that come close together
   */
  constructor(isOfInterest: (file: string) => boolean, changed: () => void) {
    this.#isOfInterest = isOfInterest
    this.#changed = changed
  }

  /** Watches the folders of these files and no others. A watched folder keeps its watcher: one that is closed and opened again could miss a change. */
  watch(files: string[]): void {
    const folders = new Set(files.map((file) => dirname(file)))
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue
      watcher.close()
      this.#watchers.delete(folder)
    }
    for (const folder of folders)
      if (!this.#watchers.has(folder) && existsSync(folder)) this.#watchers.set(folder, this.#watchFolder(folder))
  }

  #watchFolder(folder: string): FSWatcher {
    const watcher = watch(folder, (_, name) => {
      if (name !== null && !this.#isOfInterest(join(folder, name))) return
      clearTimeout(this.#pending)
      this.#pending = setTimeout(this.#changed, DEBOUNCE_MS)
    })
    return watcher.on('error', () => {}) // the folder was removed: there is nothing to watch any more
  }

  close(): void {
    clearTimeout(this.#pending)
    for (const watcher of this.#watchers.values()) watcher.close()
  }
}
