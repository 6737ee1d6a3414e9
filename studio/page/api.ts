import type { Overview, Refused } from '../shapes.ts'

// The page's way to the machine. The token goes along in a header: a cookie would also be sent to other programs of this host, whatever their port.

const KEPT = 'overpool-studio'
const BASE = '/_/studio/api/'
const AGAIN_MS = 1_000

/** A failure that the machine has named. */
export class ApiError extends Error {
  readonly code: string
  constructor({ code, message }: Refused) {
    super(message)
    this.code = code
  }
}

/** Takes the token out of the address, where it could be read over a shoulder, and keeps it for this tab. */
export function takeToken(): void {
  const given = /^#token=([\w-]+)$/.exec(location.hash)?.[1]
  if (given === undefined) return
  sessionStorage.setItem(KEPT, given)
  history.replaceState(null, '', `${location.pathname}#/`)
}

/** @param text the token, or an address that has it */
export function keepToken(text: string): void {
  sessionStorage.setItem(KEPT, text.trim().replace(/^.*#token=/, ''))
}

export type Query = Record<string, string | number | undefined>

export function get<T>(name: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const given = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]))
  return call(`${name}?${new URLSearchParams(given)}`, { ...(signal && { signal }) })
}

export function post<T>(name: string, body: object): Promise<T> {
  return call(name, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-overpool-studio': '1' },
    body: JSON.stringify(body),
  })
}

/** A request, its headers as an object. */
type Request = Omit<RequestInit, 'headers'> & { headers?: Record<string, string> }

async function call<T>(path: string, options: Request): Promise<T> {
  const answer = await send(path, options)
  return (await answer.json()) as T
}

async function send(path: string, options: Request): Promise<Response> {
  const headers = { ...options.headers, authorization: `Bearer ${sessionStorage.getItem(KEPT) ?? ''}` }
  const answer = await fetch(BASE + path, { ...options, headers, credentials: 'omit' }).catch((error) => {
    if (options.signal?.aborted) throw error
    throw new ApiError({ code: 'NO_ANSWER', message: 'The machine does not answer. It may have been stopped.' })
  })
  if (answer.ok) return answer
  throw new ApiError(await answer.json().catch(() => ({ code: 'NO_ANSWER', message: `The machine answered ${answer.status}.` })))
}

export type Connection = 'connecting' | 'live' | 'lost' | 'refused'

/** Is told the state of the machine as it changes, until the signal is aborted. Nothing is asked while the page cannot be seen. */
export async function follow(told: (overview: Overview) => void, now: (connection: Connection) => void, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await untilSeen(over)
    const hidden = new AbortController()
    const hide = () => document.hidden && hidden.abort()
    document.addEventListener('visibilitychange', hide)
    try {
      for await (const line of linesOf(await send('live', { signal: AbortSignal.any([over, hidden.signal]) }))) {
        told(JSON.parse(line))
        now('live')
      }
    } catch (error) {
      if (error instanceof ApiError && error.code === 'WRONG_TOKEN') return now('refused')
      if (!hidden.signal.aborted && !over.aborted) now('lost')
    } finally {
      document.removeEventListener('visibilitychange', hide)
    }
    await new Promise((resolve) => setTimeout(resolve, hidden.signal.aborted ? 0 : AGAIN_MS))
  }
}

function untilSeen(over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !over.aborted) return
      document.removeEventListener('visibilitychange', look)
      resolve()
    }
    document.addEventListener('visibilitychange', look)
    look()
  })
}

async function* linesOf(answer: Response): AsyncGenerator<string> {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  while (true) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop()!
    yield* lines.filter((line) => line)
  }
}
