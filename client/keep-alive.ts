/** Node ends when nothing is waited for any more. The machine's own loops do not count (`idleClock`); what the program waits for does. */
export class KeepAlive {
  #holders = 0
  #timer: NodeJS.Timeout | undefined

  /** Keeps the process alive until the work is done. */
  async until<T>(work: Promise<T>): Promise<T> {
    this.hold()
    try {
      return await work
    } finally {
      this.release()
    }
  }

  hold(): void {
    if (this.#holders++ === 0) this.#timer = setInterval(() => {}, 2 ** 30)
  }

  release(): void {
    if (--this.#holders === 0) clearInterval(this.#timer)
  }
}

const open = new Set<{ close(): Promise<void> }>()

/** Closes a machine before the process ends by itself, so that nothing is left half done. Returns what takes that back. */
export function closeBeforeExit(machine: { close(): Promise<void> }): () => void {
  if (!open.size) process.on('beforeExit', closeAll)
  open.add(machine)
  return () => {
    open.delete(machine)
    if (!open.size) process.off('beforeExit', closeAll)
  }
}

function closeAll(): void {
  for (const machine of open) void machine.close()
}
