import { AsyncLocalStorage } from 'node:async_hooks'

/** The run of a handler. Its posts are consequences of the entry that it runs on (Promise 3). */
export interface HandlerContext {
  handler: string
  cause: { key: string; seq: number }
  hops: number
  /** number of the next post */
  ordinal: number
  /** posts under way: the entry is finished when they are, even if the handler does not await them */
  posts: Promise<unknown>[]
  /** the entry is finished; code that the handler started may still run, but its posts are not waited for */
  ended: boolean
}

/** The run that the current code belongs to, through any async calls. */
export const handlerContext = new AsyncLocalStorage<HandlerContext>()
