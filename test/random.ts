/** The seed of this run's random choices: OVERPOOL_SEED, or a new one. Tests print it so that a failure can be repeated. */
export const seed = Number(process.env.OVERPOOL_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** Mulberry32: numbers from 0 to 1, the same seed gives the same numbers. */
export function randomFrom(start: number): () => number {
  let state = start | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export const random = randomFrom(seed)
