/** Makes something at its first use; if that fails, again at the next one. */
export function atFirstUse<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make().catch((error) => {
      made = undefined
      throw error
    })
    return made
  }
}

/** Like `atFirstUse`, for something that others may change. With `anew` it is made again, unless the last time is less than `ms` ago; if that fails, the old one stays. */
export function atFirstUseOrAnew<T>(
  make: () => Promise<T>,
  ms: number,
  now: () => number = () => performance.now(),
): (anew?: boolean) => Promise<T> {
  let use = atFirstUse(make)
  let madeAt = now()
  return async (anew) => {
    if (!anew || now() - madeAt < ms) return use()
    madeAt = now()
    const made = await make().catch(() => undefined)
    if (made !== undefined) use = async () => made
    return use()
  }
}
