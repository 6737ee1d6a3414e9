/**
 * The posts in hand that have the same transaction, in a pool that takes each once. The first one leads: it is looked up. The others follow, and each leads in its turn when
 * the one before has left.
 */
export class SameTransaction<Post extends object> {
  /** by txid */
  readonly #leaders = new Map<string, Post>()
  /** by their leader */
  readonly #followers = new Map<Post, Post[]>()

  /** A post of this transaction comes. @returns whether it leads */
  join(txid: string, post: Post): boolean {
    const leader = this.#leaders.get(txid)
    if (!leader) {
      this.#leaders.set(txid, post)
      return true
    }
    const followers = this.#followers.get(leader)
    if (followers) followers.push(post)
    else this.#followers.set(leader, [post])
    return false
  }

  /** A post leaves. @returns the one that leads from now on, if it led. @param isHeld false for a follower that has left before */
  leave(txid: string, post: Post, isHeld: (post: Post) => boolean): Post | undefined {
    if (this.#leaders.get(txid) === post) this.#leaders.delete(txid)
    const [next, ...others] = (this.#followers.get(post) ?? []).filter(isHeld)
    this.#followers.delete(post)
    if (!next) return undefined
    this.#leaders.set(txid, next)
    this.#followers.set(next, others)
    return next
  }

  /** All posts leave. */
  clear(): void {
    this.#leaders.clear()
    this.#followers.clear()
  }
}
