import type { EntryShape } from '../../shapes.ts'
import { get } from '../api.ts'
import { fullTime } from '../format.ts'
import { useLive } from '../live.ts'
import { linkTo } from '../router.ts'
import { Chip, Hash, isLong, Problem, Text, useAsked, useSlowed } from '../ui.tsx'
import { againPart } from './entry-again.tsx'
import { bytesPart } from './entry-bytes.tsx'
import { paymentPart } from './entry-payment.tsx'
import { runsPart } from './entry-runs.tsx'
import { scriptsPart } from './entry-scripts.tsx'
import { statusPart } from './entry-status.tsx'
import { trailPart } from './entry-trail.tsx'
import type { EntryPart } from './view.ts'

/** The parts of the page of an entry. */
const PARTS: EntryPart[] = [paymentPart, scriptsPart, statusPart, trailPart, bytesPart, runsPart, againPart]

/** An entry and all that is known of it. @param close address of the list */
export function EntryPage({ path, seq, part, close }: { path: string; seq: number; part: string; close: string }) {
  const entries = useSlowed(useLive().overview!.pools.find((pool) => pool.path === path)?.entries)
  // What becomes of a transaction is an entry of the same pool: as the pool grows, it is asked again.
  const { value, error } = useAsked((signal) => get<EntryShape>('entry', { pool: path, seq }, signal), `${path} ${seq} ${entries}`)
  const entry = value?.path === path && value.seq === seq ? value : undefined
  const parts = entry ? PARTS.filter(({ has }) => has?.(entry) ?? true) : []
  const current = parts.find(({ name }) => name === part) ?? parts[0]
  return (
    <article class="detail" aria-label={`Entry ${seq} of ${path}`}>
      <header>
        <div class="title">
          <h1>
            <span class="number">#{seq}</span> <span class="soft">{entry?.kind ?? ''}</span>
          </h1>
          {entry?.status !== undefined && <Chip>{entry.status}</Chip>}
          {entry?.invoice && <Chip>{`invoice ${entry.invoice.state}`}</Chip>}
          <a class="close" href={close} aria-label="Close the entry">
            <svg viewBox="0 0 16 16" aria-hidden="true">
              <path d="M3.5 3.5l9 9m0-9l-9 9" />
            </svg>
          </a>
        </div>
        {entry && <p class="soft number">{fullTime(entry.at)}</p>}
        {entry?.txid !== undefined && <Hash whole>{entry.txid}</Hash>}
        {entry?.memo !== undefined && (
          <p class="memo" tabIndex={isLong(entry.memo) ? 0 : undefined}>
            <Text lines>{entry.memo}</Text>
          </p>
        )}
        <nav aria-label="Parts of the entry" class="tabs">
          {parts.map(({ name, title }) => (
            <a key={name} href={linkTo('pool', path, seq, name)} aria-current={current?.name === name ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
      </header>
      <div class="body">
        <Problem error={entry ? undefined : error} />
        {!entry && error === undefined && <p class="empty">Loading …</p>}
        {entry && current && <current.Part entry={entry} key={`${path} ${seq}`} />}
      </div>
    </article>
  )
}
