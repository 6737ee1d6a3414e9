import { useEffect, useState } from 'preact/hooks'
import type { ChangeRow, StatePage } from '../../shapes.ts'
import { get } from '../api.ts'
import { number } from '../format.ts'
import { useLive } from '../live.ts'
import { linkTo, type Place, replace } from '../router.ts'
import { Chip, Empty, EntryLink, Problem, Section, Text, useAsked, useSlowed } from '../ui.tsx'
import { StateEditor } from './state-value.tsx'
import type { View } from './view.ts'

export const state: View = { name: 'state', title: 'State', isInMenu: true, Page: StatePageOf }

function StatePageOf({ place: { query } }: { place: Place }) {
  const { pools } = useLive().overview!
  const handlers = [...new Set(pools.flatMap((pool) => pool.handlers.map(({ handler }) => handler)))]
  const handler = query.get('handler') ?? handlers[0] ?? ''
  const paths = pools.filter((pool) => pool.handlers.some((each) => each.handler === handler)).map(({ path }) => path)
  const path = query.get('pool') ?? paths[0] ?? ''
  const [prefix, key] = [query.get('prefix') ?? '', query.get('key') ?? undefined]
  const choose = (change: Record<string, string>) =>
    replace(`${linkTo('state')}?${new URLSearchParams({ handler, pool: path, ...(prefix && { prefix }), ...change })}`)
  if (!handler)
    return (
      <div class="page">
        <h1>State</h1>
        <Empty>No handler has worked yet: there is no state.</Empty>
      </div>
    )
  return (
    <div class="page">
      <h1>State</h1>
      <p class="soft">What a handler remembers, as it was last committed. An edit is a commit of its own.</p>
      <div class="form across">
        <label>
          Handler
          <select
            value={handler}
            onChange={(event) => replace(`${linkTo('state')}?${new URLSearchParams({ handler: event.currentTarget.value })}`)}
          >
            {handlers.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label>
          Pool
          <select value={path} onChange={(event) => choose({ pool: event.currentTarget.value, prefix: '' })}>
            {paths.map((each) => (
              <option key={each}>{each}</option>
            ))}
            <option value="">none: shared by all</option>
          </select>
        </label>
        <label class="grow">
          Keys that begin with
          <input type="search" value={prefix} onInput={(event) => choose({ prefix: event.currentTarget.value })} />
        </label>
      </div>
      <Keys key={`${handler} ${path} ${prefix}`} handler={handler} path={path} prefix={prefix} open={key} choose={choose} />
    </div>
  )
}

interface KeysProps {
  handler: string
  path: string
  prefix: string
  open: string | undefined
  choose: (change: Record<string, string>) => void
}

function Keys({ handler, path, prefix, open, choose }: KeysProps) {
  const [pages, setPages] = useState<string[]>(['']) // the last key before each page that was opened
  const after = pages.at(-1)!
  const done = useSlowed(
    useLive()
      .overview!.pools.flatMap((pool) => pool.handlers.filter((each) => each.handler === handler).map((each) => each.done))
      .join(),
  )
  const keys = useAsked((signal) => get<StatePage>('state', { handler, pool: path, prefix, after }, signal), `${after} ${done}`)
  const changes = useAsked((signal) => get<{ rows: ChangeRow[] }>('changes', { handler, pool: path }, signal), done)
  const again = () => {
    keys.again()
    changes.again()
  }
  const { value: page, error } = keys
  useEffect(() => {
    if (page && !page.rows.length && pages.length > 1) setPages(pages.slice(0, -1)) // all of the last page was deleted
  }, [page])
  if (error !== undefined) return <Problem error={error} />
  if (!page) return <Empty>Loading …</Empty>
  return (
    <>
      {open !== undefined && <StateEditor key={open} handler={handler} path={path} at={open} changed={again} close={() => choose({})} />}
      <Section
        title="Keys"
        action={
          <span class="tools">
            {page.isShared && <Chip>shared by all pools</Chip>}
            <span class="soft number">version {number(page.version)}</span>
            <button type="button" disabled={pages.length === 1} onClick={() => setPages(pages.slice(0, -1))}>
              Before
            </button>
            <button type="button" disabled={!page.isMore} onClick={() => setPages([...pages, page.rows.at(-1)!.key])}>
              Next
            </button>
          </span>
        }
      >
        {page.rows.length === 0 && <Empty>{prefix ? 'No key begins with this.' : 'The handler remembers nothing.'}</Empty>}
        {page.rows.length > 0 && (
          <table>
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col">Value</th>
              </tr>
            </thead>
            <tbody>
              {page.rows.map(({ key, json }) => (
                <tr key={key}>
                  <th scope="row" class="wide">
                    <button type="button" aria-expanded={open === key} onClick={() => choose({ key })}>
                      <Text>{key}</Text>
                    </button>
                  </th>
                  <td class="wide mono">
                    <Text>{json}</Text>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Section>
      <Section title="Newest changes">
        <Problem error={changes.error} />
        {changes.value?.rows.length === 0 && <Empty>Nothing has changed yet.</Empty>}
        <ul class="letters">
          {changes.value?.rows.map((change) => (
            <Change key={`${change.version} ${change.key}`} change={change} />
          ))}
        </ul>
      </Section>
    </>
  )
}

function Change({ change: { version, key, pool, seq, before, after } }: { change: ChangeRow }) {
  return (
    <li>
      <p class="put">
        <b>
          <Text>{key}</Text>
        </b>
        <span class="soft">
          version {number(version)}
          {pool !== '*' && seq >= 0 && (
            <>
              , <EntryLink path={pool} seq={seq}>{`${pool} #${seq}`}</EntryLink>
            </>
          )}
        </span>
      </p>
      <p class="mono wide">
        <Text>{`${before ?? 'not there'} → ${after ?? 'deleted'}`}</Text>
      </p>
    </li>
  )
}
