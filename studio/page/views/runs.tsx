import type { RunsPage } from '../../shapes.ts'
import { get } from '../api.ts'
import { useLive } from '../live.ts'
import { linkTo, type Place, replace } from '../router.ts'
import { Empty, Problem, useAsked, useSlowed } from '../ui.tsx'
import { RunList } from './run-list.tsx'
import type { View } from './view.ts'

export const runs: View = { name: 'runs', title: 'Runs', isInMenu: true, Page: RunsPageOf }

/** A change of the machine asks for the runs again at most this often, ms: on AWS each question reads a log. */
const AGAIN_MS = 3_000
const OUTCOMES = ['ok', 'failed', 'given-up']

function RunsPageOf({ place: { query } }: { place: Place }) {
  const { pools } = useLive().overview!
  const asked = {
    pool: query.get('pool') ?? pools[0]?.path ?? '',
    handler: query.get('handler') ?? '',
    outcome: query.get('outcome') ?? '',
  }
  const row = pools.find(({ path }) => path === asked.pool)
  const state = useSlowed(JSON.stringify(row?.handlers.map(({ done, attempts, dead }) => [done, attempts, dead])), AGAIN_MS)
  const about = `${JSON.stringify(asked)} ${state}`
  const { value, error } = useAsked(
    async (signal) => (asked.pool === '' ? undefined : { page: await get<RunsPage>('runs', asked, signal), of: JSON.stringify(asked) }),
    about,
  )
  const choose = (change: Partial<typeof asked>) => replace(`${linkTo('runs')}?${new URLSearchParams({ ...asked, ...change })}`)
  return (
    <div class="page">
      <h1>Runs</h1>
      <p class="soft">Each call of a handler with an entry. Runs are kept for a while.</p>
      <div class="form across">
        <label>
          Pool
          <select value={asked.pool} onChange={(event) => choose({ pool: event.currentTarget.value, handler: '' })}>
            {pools.map(({ path }) => (
              <option key={path}>{path}</option>
            ))}
          </select>
        </label>
        <label>
          Handler
          <select value={asked.handler} onChange={(event) => choose({ handler: event.currentTarget.value })}>
            <option value="">all</option>
            {row?.handlers.map(({ handler }) => (
              <option key={handler}>{handler}</option>
            ))}
          </select>
        </label>
        <label>
          Outcome
          <select value={asked.outcome} onChange={(event) => choose({ outcome: event.currentTarget.value })}>
            <option value="">all</option>
            {OUTCOMES.map((outcome) => (
              <option key={outcome}>{outcome}</option>
            ))}
          </select>
        </label>
      </div>
      <Problem error={error} />
      {asked.pool === '' && <Empty>This machine has no pools yet.</Empty>}
      {value?.of === JSON.stringify(asked) ? (
        <RunList page={value.page} />
      ) : (
        error === undefined && asked.pool !== '' && <Empty>Loading …</Empty>
      )}
    </div>
  )
}
