import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { EntryRow } from '../../shapes.ts'
import { EntrySource, SearchSource } from '../entries.ts'
import { count, number, short } from '../format.ts'
import { MAX_HEIGHT, VirtualList } from '../list.tsx'
import { useLive } from '../live.ts'
import { go, linkTo, type Place, replace } from '../router.ts'
import { Chip, Copy, Empty, PoolName, Problem, Text, When } from '../ui.tsx'
import { EntryPage } from './entry.tsx'
import type { View } from './view.ts'

export const pool: View = { name: 'pool', title: 'Entries', isInMenu: false, Page: PoolPage }

const KINDS = ['tx', 'status', 'commit', 'invoice', 'block', 'reorg']
/** The search begins when nobody has typed for this time, ms. */
const TYPED_MS = 250
const NARROW = '(max-width: 700px)'

function PoolPage({ place: { parts, query } }: { place: Place }) {
  const [, path = '', seq, part = ''] = parts
  const live = useLive()
  const row = live.overview!.pools.find((each) => each.path === path)
  if (!row)
    return (
      <div class="page">
        <h1>
          There is no pool <Text>{path}</Text>
        </h1>
      </div>
    )
  const asked = { q: query.get('q') ?? '', kinds: query.get('kinds') ?? '' }
  return (
    <div class={`split ${seq === undefined ? '' : 'opened'}`}>
      <div class="master">
        <Head path={path} poolKey={row.key} entries={row.entries} />
        <Filter key={path} path={path} {...asked} />
        {row.entries === 0 ? (
          <Empty>
            No entries yet. <a href={linkTo('post')}>Post a sample</a>, and it appears here.
          </Empty>
        ) : asked.q || asked.kinds ? (
          <Matches key={`${path} ${asked.q} ${asked.kinds}`} path={path} end={row.entries} selected={seq} {...asked} />
        ) : (
          <AllEntries key={path} path={path} end={row.entries} begin={row.prunedBefore} selected={seq} />
        )}
      </div>
      {seq !== undefined && <EntryPage path={path} seq={Number(seq)} part={part} close={closeTo(path, asked)} />}
    </div>
  )
}

function queryOf({ q, kinds }: { q: string; kinds: string }): string {
  const query = new URLSearchParams({ ...(q && { q }), ...(kinds && { kinds }) }).toString()
  return query && `?${query}`
}

function closeTo(path: string, asked: { q: string; kinds: string }): string {
  return linkTo('pool', path) + queryOf(asked)
}

function Head({ path, poolKey, entries }: { path: string; poolKey: string; entries: number }) {
  return (
    <header class="head">
      <h1>
        <PoolName path={path} />
      </h1>
      <span class="soft number">{count(entries, 'entry', 'entries')}</span>
      <span class="hash soft">
        <code title={poolKey}>{short(poolKey)}</code>
        <Copy what="public key of the pool">{poolKey}</Copy>
      </span>
    </header>
  )
}

function Filter({ path, q, kinds }: { path: string; q: string; kinds: string }) {
  const [text, setText] = useState(q)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const asked = useRef(q)
  useEffect(() => {
    if (q !== asked.current) setText(q) // somebody else has changed it: a link, or the search beside
    asked.current = q
  }, [q])
  const ask = (next: { q: string; kinds: string }) => {
    clearTimeout(timer.current)
    asked.current = next.q
    replace(linkTo('pool', path) + queryOf(next))
  }
  const typed = (value: string) => {
    setText(value)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => ask({ q: value.trim(), kinds }), TYPED_MS)
  }
  const chosen = kinds ? kinds.split(',') : []
  return (
    <div class="filter">
      <input
        type="search"
        aria-label="Filter by txid, text or address"
        placeholder="Filter: txid, text, address"
        value={text}
        onInput={(event) => typed(event.currentTarget.value)}
      />
      <div class="kinds" role="group" aria-label="Kinds of entries">
        {KINDS.map((kind) => (
          <button
            key={kind}
            type="button"
            aria-pressed={chosen.includes(kind)}
            onClick={() =>
              ask({ q: text.trim(), kinds: (chosen.includes(kind) ? chosen.filter((each) => each !== kind) : [...chosen, kind]).join(',') })
            }
          >
            {kind}
          </button>
        ))}
      </div>
    </div>
  )
}

interface ListProps {
  path: string
  /** number of the next entry */
  end: number
  selected: string | undefined
}

/** All entries of a pool, the newest first. While one reads further down, the list stays where it is. */
function AllEntries({ path, end, begin, selected }: ListProps & { begin: number }) {
  const rowHeight = useRowHeight()
  const [, draw] = useState(0)
  const source = useMemo(() => new EntrySource(path, () => draw((n) => n + 1)), [path])
  useEffect(() => () => source.close(), [source])
  const [isTop, setTop] = useState(true)
  const [kept, setKept] = useState(end)
  const shown = isTop ? end : kept
  const fit = Math.floor(MAX_HEIGHT / rowHeight)
  const rows = Math.min(shown - begin, fit)
  const [inView, setInView] = useState<[number, number]>([0, 0])
  useEffect(() => source.want(shown - inView[1], shown - inView[0], end), [source, inView, shown, end])
  return (
    <>
      {!isTop && end > kept && (
        <button type="button" class="fresh" onClick={() => document.querySelector('.list')?.scrollTo({ top: 0 })}>
          {count(end - kept, 'new entry', 'new entries')}
        </button>
      )}
      <VirtualList
        label={`Entries of ${path}, the newest first`}
        about={path}
        beginAt={selected === undefined ? undefined : shown - 1 - Number(selected)}
        count={rows}
        rowHeight={rowHeight}
        headings={<Headings />}
        shows={(from, to) => setInView([from, to])}
        atTop={(is) => {
          setTop(is)
          if (!is) setKept(end)
        }}
        row={(i) => {
          const seq = shown - 1 - i
          const row = source.row(seq)
          return row ? (
            <Entry path={path} row={row} isSelected={selected === String(seq)} query="" />
          ) : (
            <Waiting seq={seq} isMissing={source.isMissing(seq)} />
          )
        }}
      />
      {shown - begin > fit && <p class="foot soft">The list shows the newest {number(fit)} entries. The filter finds older ones.</p>}
    </>
  )
}

/** The entries that match, as they are found. */
function Matches({ path, end, selected, q, kinds }: ListProps & { q: string; kinds: string }) {
  const rowHeight = useRowHeight()
  const [, draw] = useState(0)
  const source = useMemo(() => new SearchSource({ pool: path, q, kinds }, end, () => draw((n) => n + 1)), [])
  useEffect(() => () => source.close(), [source])
  useEffect(() => void source.grow(end), [end])
  const { rows, before, error } = source
  const query = queryOf({ q, kinds })
  return (
    <>
      <p class="foot soft" role="status">
        {before === undefined
          ? rows.length
            ? `${count(rows.length, 'entry matches', 'entries match')}.`
            : 'Nothing matches.'
          : `${count(rows.length, 'match', 'matches')} down to #${number(before)} …`}
      </p>
      <Problem error={error} />
      <VirtualList
        label={`Entries of ${path} that match`}
        about=""
        count={rows.length}
        rowHeight={rowHeight}
        headings={<Headings />}
        shows={(_, to) => void source.want(to + 100)}
        row={(i) => <Entry path={path} row={rows[i]!} isSelected={selected === String(rows[i]!.seq)} query={query} />}
      />
    </>
  )
}

function useRowHeight(): number {
  const narrow = useMemo(() => matchMedia(NARROW), [])
  const [isNarrow, setNarrow] = useState(narrow.matches)
  useEffect(() => {
    const look = () => setNarrow(narrow.matches)
    narrow.addEventListener('change', look)
    return () => narrow.removeEventListener('change', look)
  }, [])
  return isNarrow ? 58 : 34
}

function Headings() {
  return (
    <div role="row" aria-rowindex={1} class="row entry">
      <span role="columnheader">#</span>
      <span role="columnheader">Time</span>
      <span role="columnheader">From</span>
      <span role="columnheader">What</span>
      <span role="columnheader" class="right">
        Satoshis
      </span>
      <span role="columnheader">Status</span>
      <span role="columnheader">Txid</span>
    </div>
  )
}

function Entry({ path, row, isSelected, query }: { path: string; row: EntryRow; isSelected: boolean; query: string }) {
  const { seq, at, kind, source, hops, txid, memo, data, says, satoshis, status, invoice } = row
  const to = linkTo('pool', path, seq) + query
  return (
    <div class={`entry ${isSelected ? 'selected' : ''}`} onClick={(event) => (event.target as Element).closest('a,button') || go(to)}>
      <span role="cell">
        <a class="number" href={to} aria-current={isSelected || undefined}>
          {seq}
        </a>
      </span>
      <span role="cell" class="number soft">
        <When at={at} />
      </span>
      <span role="cell" class="soft">
        {kind === 'tx' ? source : kind}
        {hops > 0 && <span title={`${hops} steps since the loop began`}> +{hops}</span>}
      </span>
      <span role="cell" class="what clip">
        {memo !== undefined && <Text>{memo}</Text>}
        {memo === undefined && says !== undefined && <Text>{says}</Text>}
        {data !== undefined && (
          <span class="data">
            <Text>{data}</Text>
          </span>
        )}
      </span>
      <span role="cell" class="right number">
        {satoshis === 0 ? <span class="soft">0</span> : satoshis !== undefined && number(satoshis)}
      </span>
      <span role="cell">
        {invoice ? <Chip>{invoice.state}</Chip> : status !== undefined && status !== 'local' ? <Chip>{status}</Chip> : null}
      </span>
      <span role="cell" class="soft">
        {txid !== undefined && <code>{short(txid)}</code>}
      </span>
    </div>
  )
}

function Waiting({ seq, isMissing }: { seq: number; isMissing: boolean }) {
  return (
    <div class="entry">
      <span role="cell" class="number soft">
        {seq}
      </span>
      <span role="cell" class="soft">
        {isMissing ? 'is not here' : '…'}
      </span>
    </div>
  )
}
