import type { Effects } from './effects.ts'

/** The effects of all pools that are open, ours and peers': what has to ring again when a bell may have got lost. */
export class Bells {
  readonly #open = new Set<Pick<Effects, 'ringAgain'>>()

  add(effects: Pick<Effects, 'ringAgain'>): void {
    this.#open.add(effects)
  }

  delete(effects: Pick<Effects, 'ringAgain'>): void {
    this.#open.delete(effects)
  }

  /** Rings for handlers whose cursor lags, one that has just begun among them. */
  async ringAgain(): Promise<void> {
    await Promise.all([...this.#open].map((effects) => effects.ringAgain()))
  }
}
