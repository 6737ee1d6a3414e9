import { AsyncLocalStorage } from 'node:async_hooks'

/** Where a handler is while it runs: what it posts is posted as a consequence of this entry (Promise 3). */
export interface HandlerContext {
  handler: string
  cause: { key: string; seq: number }
  hops: number
  /** number of the next post */
  ordinal: number
  /** posts under way: the entry is not finished before they are, though the handler may forget to await them */
  posts: Promise<unknown>[]
  /** the entry is finished, though code that the handler began may still run: what it posts, nobody waits for */
  ended: boolean
}

/** The handler that the current code runs in, however deep. */
export const handlerContext = new AsyncLocalStorage<HandlerContext>()
