interface RingsAgain {
  ringAgain(): Promise<void>
}

/** The effects of all pools that are open, ours and peers': it rings again for bells that may be lost. */
export class Bells {
  readonly #open = new Set<RingsAgain>()

  add(effects: RingsAgain): void {
    this.#open.add(effects)
  }

  delete(effects: RingsAgain): void {
    this.#open.delete(effects)
  }

  /** Rings for handlers whose cursor lags, new handlers included. */
  async ringAgain(): Promise<void> {
    await Promise.all([...this.#open].map((effects) => effects.ringAgain()))
  }
}
