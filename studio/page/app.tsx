import { useEffect, useState } from 'preact/hooks'
import { keepToken } from './api.ts'
import { number } from './format.ts'
import { live, useLive } from './live.ts'
import { go, linkTo, type Place, usePlace } from './router.ts'
import { Notes, PoolName, Text } from './ui.tsx'
import { VIEWS } from './views/index.ts'

export function App() {
  const { connection, overview } = useLive()
  const place = usePlace()
  if (connection === 'refused') return <AskToken />
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <Side place={place} />
      <main id="main" tabIndex={0}>
        {connection === 'lost' && (
          <p class="banner bad" role="alert">
            The machine does not answer. The page asks again every second{overview ? '; what it shows is old' : ''}.
          </p>
        )}
        {overview && !overview.isRunning && (
          <p class="banner warn">
            No machine runs in this folder: the page shows what is in it. What you ask for is done when it is started.
          </p>
        )}
        {overview ? <Content place={place} /> : connection !== 'lost' && <p class="empty">Loading …</p>}
      </main>
      <Notes />
    </div>
  )
}

function skip(event: Event): void {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

function Content({ place }: { place: Place }) {
  const [name = ''] = place.parts
  const view = VIEWS.find((each) => each.name === name)
  useEffect(() => {
    document.title = `${view?.title ?? 'Not found'} · Overpool Studio`
  }, [view])
  if (!view)
    return (
      <div class="page">
        <h1>There is no such page</h1>
        <p>
          <a href="#/">The overview</a> shows what there is.
        </p>
      </div>
    )
  return <view.Page place={place} key={name} />
}

function Side({ place }: { place: Place }) {
  const { overview, connection } = useLive()
  const [current = ''] = place.parts
  return (
    <header class="side">
      <div class="brand">
        <a href="#/">
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d="M2 6c3-3 5 3 8 0s5 3 8 0M2 11c3-3 5 3 8 0s5 3 8 0M2 16c3-3 5 3 8 0s5 3 8 0" />
          </svg>
          Overpool
        </a>
        <span class={`lamp ${connection === 'live' ? (overview?.isRunning ? 'good' : 'warn') : 'bad'}`}>
          {connection === 'live' ? (overview?.isRunning ? 'running' : 'stopped') : connection === 'lost' ? 'lost' : 'connecting'}
        </span>
      </div>
      <Find place={place} />
      <nav aria-label="Parts of the studio">
        {VIEWS.filter(({ isInMenu }) => isInMenu).map(({ name, title, badge }) => {
          const n = overview && badge ? badge(overview) : 0
          return (
            <a key={name} href={linkTo(name)} aria-current={current === name ? 'page' : undefined}>
              {title}
              {n > 0 && <span class="badge">{number(n)}</span>}
            </a>
          )
        })}
      </nav>
      <nav aria-label="Pools">
        <h2>Pools</h2>
        {overview?.pools.map(({ path, entries }) => (
          <a key={path} href={linkTo('pool', path)} aria-current={current === 'pool' && place.parts[1] === path ? 'page' : undefined}>
            <span class="clip">
              <PoolName path={path} />
            </span>
            <span class="number">{number(entries)}</span>
          </a>
        ))}
        {overview?.pools.length === 0 && <p>none yet</p>}
      </nav>
      {overview && (
        <p class="where">
          <Text>{overview.place}</Text>
        </p>
      )}
    </header>
  )
}

/** Finds a transaction anywhere, or text in the pool that is open. */
function Find({ place }: { place: Place }) {
  const [text, setText] = useState('')
  const find = (event: Event) => {
    event.preventDefault()
    const asked = text.trim()
    if (!asked) return
    const pool = place.parts[0] === 'pool' ? place.parts[1] : live.overview?.pools[0]?.path
    if (/^[\da-f]{64}$/i.test(asked) || pool === undefined) go(linkTo('find', asked))
    else go(`${linkTo('pool', pool)}?q=${encodeURIComponent(asked)}`)
    setText('')
  }
  return (
    <form class="find" role="search" onSubmit={find}>
      <input
        type="search"
        aria-label="Find a txid, an entry id, a text or an address"
        placeholder="txid, text, address"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
    </form>
  )
}

/** What somebody sees who has no token, or an old one. */
function AskToken() {
  const [text, setText] = useState('')
  const open = (event: Event) => {
    event.preventDefault()
    keepToken(text)
    live.start()
  }
  return (
    <main class="ask">
      <h1>Overpool Studio</h1>
      <p>
        The studio shows all of the machine, so it needs a token. <code>overpool start</code> and <code>overpool studio</code> print an
        address that has it. Open that address, or paste it here.
      </p>
      <form onSubmit={open}>
        <label>
          Address or token
          <input type="password" autoComplete="off" value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <button type="submit" class="main">
          Open
        </button>
      </form>
    </main>
  )
}
