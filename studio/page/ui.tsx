import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from './api.ts'
import { ago, fullTime, short, time } from './format.ts'
import { linkTo } from './router.ts'

/** Characters that change how the text around them looks, or that nobody sees: controls, marks of direction, separators of lines. */
const UNSEEN = /([\p{Cc}\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff])/u

/** Text of others. It stays text, and what would be unseen in it is shown. @param lines line breaks and tabs stay as they are */
export function Text({ children, lines = false }: { children: string; lines?: boolean }) {
  const parts = children.split(new RegExp(UNSEEN, 'gu'))
  return (
    <bdi>
      {parts.map((part) =>
        UNSEEN.test(part) && !(lines && /[\n\t]/.test(part)) ? (
          <span class="unseen-character">{`U+${part.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`}</span>
        ) : (
          part
        ),
      )}
    </bdi>
  )
}

const TONES: Record<string, string> = {
  mined: 'good',
  paid: 'good',
  overpaid: 'good',
  seen: 'info',
  sent: 'info',
  open: 'info',
  local: 'quiet',
  underpaid: 'warn',
  late: 'warn',
  second: 'warn',
  rejected: 'bad',
  'double-spent': 'bad',
  expired: 'quiet',
  cancelled: 'quiet',
}

/** A word about a state, with a colour that only repeats what the word says. */
export function Chip({ children, tone = TONES[children] ?? 'quiet' }: { children: string; tone?: string }) {
  return (
    <span class={`chip ${tone}`}>
      <Text>{children}</Text>
    </span>
  )
}

export function When({ at }: { at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={`${fullTime(at)}, ${ago(at)}`}>
      {time(at)}
    </time>
  )
}

/** A hash that can be copied. @param whole shows all of it */
export function Hash({ children, whole = false, to }: { children: string; whole?: boolean; to?: string }) {
  const text = <code title={children}>{whole ? children : short(children)}</code>
  return (
    <span class="hash">
      {to === undefined ? text : <a href={to}>{text}</a>}
      <Copy what="hash">{children}</Copy>
    </span>
  )
}

export function Copy({ children, what }: { children: string; what: string }) {
  const [isDone, setDone] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(children).catch(() => {})
    setDone(true)
    setTimeout(() => setDone(false), 1_500)
  }
  return (
    <button type="button" class="copy" aria-label={isDone ? 'copied' : `copy the ${what}`} onClick={copy}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {isDone ? <path d="M3 8.5l3.2 3L13 4.5" /> : <path d="M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z" />}
      </svg>
    </button>
  )
}

/** A link to an entry. */
export function EntryLink({ path, seq, children }: { path: string; seq: number; children?: ComponentChildren }) {
  return (
    <a class="number" href={linkTo('pool', path, seq)}>
      {children ?? `#${seq}`}
    </a>
  )
}

/** A pool's name; a peer's is a key, of which a part is enough. */
export function PoolName({ path }: { path: string }) {
  return path.length === 64 ? <span title={path}>{`peer ${short(path)}`}</span> : path
}

export function Section({ title, children, action }: { title: string; children: ComponentChildren; action?: ComponentChildren }) {
  return (
    <section class="section">
      <header>
        <h2>{title}</h2>
        {action}
      </header>
      {children}
    </section>
  )
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>
}

/** Text of others in lines, as long as it is: it scrolls, also by the keyboard. */
export function Long({ children }: { children: string }) {
  return (
    <pre class="long" tabIndex={isLong(children) ? 0 : undefined}>
      <Text lines>{children}</Text>
    </pre>
  )
}

/** Whether a text may be higher than its place. */
export function isLong(text: string): boolean {
  return text.length > 300 || text.split('\n').length > 6
}

/** A list of names and values. Values that are missing are left out. */
export function Facts({ children }: { children: [string, ComponentChildren][] }) {
  const given = children.filter(([, value]) => value !== undefined && value !== false && value !== '')
  return (
    <dl class="facts">
      {given.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

export function Problem({ error }: { error: unknown }) {
  if (error === undefined) return null
  const said = error instanceof ApiError ? error.message : 'This part of the page has failed. Reload it.'
  return (
    <p class="problem" role="alert">
      <Text>{said}</Text>
    </p>
  )
}

export interface Asked<T> {
  value?: T
  error?: unknown
  again: () => void
}

/** Asks the machine, again whenever `about` changes. An old answer stays until the new one is here. */
export function useAsked<T>(ask: (signal: AbortSignal) => Promise<T>, about: unknown): Asked<T> {
  const [state, setState] = useState<{ value?: T; error?: unknown }>({})
  const [round, setRound] = useState(0)
  useEffect(() => {
    const over = new AbortController()
    ask(over.signal).then(
      (value) => over.signal.aborted || setState({ value }),
      (error) => over.signal.aborted || setState((before) => ({ ...before, error })),
    )
    return () => over.abort()
  }, [about, round])
  return { ...state, again: () => setRound((n) => n + 1) }
}

/** A value that changes at most this often, ms: for what is asked again when it changes. */
export function useSlowed<T>(value: T, ms = 1_000): T {
  const [slowed, setSlowed] = useState(value)
  const changedAt = useRef(0)
  useEffect(() => {
    if (value === slowed) return
    const timer = setTimeout(
      () => {
        changedAt.current = Date.now()
        setSlowed(value)
      },
      Math.max(0, changedAt.current + ms - Date.now()),
    )
    return () => clearTimeout(timer)
  }, [value, slowed])
  return slowed
}

/** A button that does something on the machine: it says what has come of it. @param sure a second press is needed, with this text on the button */
export function Deed({ children, sure, does, tone = '' }: { children: string; sure?: string; does: () => Promise<string>; tone?: string }) {
  const [state, setState] = useState<'idle' | 'asks' | 'busy'>('idle')
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const press = async () => {
    clearTimeout(timer.current)
    if (sure !== undefined && state === 'idle') {
      setState('asks')
      timer.current = setTimeout(() => setState('idle'), 4_000)
      return
    }
    setState('busy')
    await does().then(say, (error) => say(error instanceof Error ? error.message : String(error), 'bad'))
    setState('idle')
  }
  return (
    <button type="button" class={`${tone} ${state === 'asks' ? 'sure' : ''}`} disabled={state === 'busy'} onClick={press}>
      {state === 'asks' ? sure : children}
    </button>
  )
}

type Note = { text: string; tone: 'good' | 'bad' }
let showNote: (note: Note) => void = () => {}

/** Says what has been done, for a while, also to screen readers. */
export function say(text: string, tone: Note['tone'] = 'good'): void {
  showNote({ text, tone })
}

export function Notes() {
  const [note, setNote] = useState<Note>()
  useEffect(() => {
    showNote = setNote
  }, [])
  useEffect(() => {
    if (!note) return
    const timer = setTimeout(() => setNote(undefined), note.tone === 'bad' ? 12_000 : 5_000)
    return () => clearTimeout(timer)
  }, [note])
  return (
    <div role="status" class="notes">
      {note && (
        <p class={note.tone}>
          <Text>{note.text}</Text>
        </p>
      )}
    </div>
  )
}

/** Counts of the last minute as a line. */
export function Spark({ counts }: { counts: number[] }) {
  const most = Math.max(...counts, 1)
  const points = counts.map((count, i) => `${i},${(18 - (17 * count) / most).toFixed(1)}`).join(' ')
  return (
    <svg class="spark" viewBox={`0 0 ${counts.length - 1} 19`} preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points} />
    </svg>
  )
}
