import type { DeadPage, DeadRow, Said } from '../../shapes.ts'
import { get, post } from '../api.ts'
import { count } from '../format.ts'
import { useLive } from '../live.ts'
import { Deed, Empty, EntryLink, Long, Problem, Section, useAsked, When } from '../ui.tsx'
import { RedriveSome, type Selected } from './dead-selection.tsx'
import type { View } from './view.ts'

export const dead: View = {
  name: 'dead',
  title: 'Given up',
  isInMenu: true,
  badge: ({ pools }) =>
    pools.flatMap(({ handlers }) => handlers).reduce((sum, { dead: letters, stopped }) => sum + letters + (stopped ? 1 : 0), 0),
  Page: DeadPageOf,
}

function DeadPageOf() {
  const { pools } = useLive().overview!
  const state = JSON.stringify(
    pools.map(({ handlers }) => handlers.map(({ dead: letters, stopped, attempts }) => [letters, stopped, attempts])),
  )
  const { value, error, again } = useAsked((signal) => get<DeadPage>('dead', {}, signal), state)
  const ask = async (body: { pool: string; handler: string; skip?: boolean; drop?: boolean } & Selected) => {
    const { says } = await post<Said>('redrive', body)
    again()
    return says
  }
  const groups = Map.groupBy(value?.rows ?? [], ({ path, handler }) => JSON.stringify([path, handler]))
  return (
    <div class="page">
      <h1>Given up</h1>
      <p class="soft">
        Entries that a handler gave up after its attempts, and handlers that stopped. Mend the handler, then have it try again.
      </p>
      <Problem error={error} />
      {value?.stopped.map(({ path, handler, seq, error: why }) => (
        <Section
          key={`${path} ${handler}`}
          title={`${handler} stopped in ${nameOf(path)}`}
          action={
            <span class="tools">
              <Deed does={() => ask({ pool: path, handler })} tone="main">
                Try again
              </Deed>
              <Deed sure={`Skip #${seq}?`} does={() => ask({ pool: path, handler, skip: true })}>
                Skip the entry
              </Deed>
            </span>
          }
        >
          <p>
            At <EntryLink path={path} seq={seq} />:
          </p>
          <Long>{why}</Long>
        </Section>
      ))}
      {[...groups.values()].map((rows) => {
        const { path, handler } = rows[0]!
        return (
          <Section
            key={`${path} ${handler}`}
            title={`${handler} in ${nameOf(path)}`}
            action={
              <span class="tools">
                <Deed does={() => ask({ pool: path, handler })} tone="main">
                  {`Redrive ${rows.length}`}
                </Deed>
                <Deed sure={`Forget ${rows.length} for good?`} does={() => ask({ pool: path, handler, drop: true })}>
                  Forget
                </Deed>
              </span>
            }
          >
            {rows.length > 1 && (
              <RedriveSome name={`${handler} in ${nameOf(path)}`} does={(selected) => ask({ pool: path, handler, ...selected })} />
            )}
            <ul class="letters">
              {rows.map((row) => (
                <Letter key={row.seq} row={row} />
              ))}
            </ul>
          </Section>
        )
      })}
      {value && value.rows.length < value.total && (
        <Empty>
          The newest {value.rows.length} of {value.total} are shown. Redrive and Forget take all of a handler.
        </Empty>
      )}
      {value && !value.total && !value.stopped.length && <Empty>Nothing was given up.</Empty>}
    </div>
  )
}

function nameOf(path: string): string {
  return path.length === 64 ? `the peer’s pool ${path.slice(0, 8)}…` : path
}

function Letter({ row: { path, seq, error, attempts, at } }: { row: DeadRow }) {
  return (
    <li>
      <p class="put">
        <EntryLink path={path} seq={seq} />
        <span class="soft">
          {count(attempts, 'attempt')}, last at <When at={at} />
        </span>
      </p>
      <Long>{error}</Long>
    </li>
  )
}
