import { AsyncLocalStorage } from 'node:async_hooks'

/** The run of a handler. Its posts are consequences of the entry that it runs on (Promise 3). */
export interface HandlerContext {
  handler: string
  /** the pool's path */
  pool: string
  cause: { key: string; seq: number }
  hops: number
  /** number of the next post */
  ordinal: number
  /** posts under way: the entry is finished when they are, even if the handler does not await them */
  posts: Promise<unknown>[]
  /** the call is over; code that it started may still run, but its posts are not waited for */
  ended: boolean
  /** the call has failed, so the entry is tried again: code of this call that still runs must not post beside the next one */
  failed: boolean
  /** called with an error that code of this call threw where nothing could catch it */
  threwLate: (error: unknown) => void
  /** what it has printed with `console`, if anything, and how many characters are kept besides */
  printed?: { lines: string[]; left: number }
}

/** The user's code that runs outside a handler's calls: a filter, or what a file does when it is loaded. */
export interface CodeContext {
  /** for people */
  name: string
  /** as for handlers */
  threwLate: (error: unknown) => void
}

export const codeContext = new AsyncLocalStorage<CodeContext>()

/** The run that the current code belongs to, through any async calls. */
export const handlerContext = new AsyncLocalStorage<HandlerContext>()
