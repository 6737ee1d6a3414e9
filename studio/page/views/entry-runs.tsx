import type { EntryShape, RunsPage } from '../../shapes.ts'
import { get } from '../api.ts'
import { useLive } from '../live.ts'
import { Problem, useAsked, useSlowed } from '../ui.tsx'
import { RunList } from './run-list.tsx'
import type { EntryPart } from './view.ts'

export const runsPart: EntryPart = { name: 'runs', title: 'Runs', Part: EntryRuns }

const AGAIN_MS = 3_000

function EntryRuns({ entry: { path, seq } }: { entry: EntryShape }) {
  const { pools } = useLive().overview!
  const handlers = pools.find((pool) => pool.path === path)?.handlers.map(({ done, attempts, dead }) => [done, attempts, dead])
  const state = useSlowed(JSON.stringify(handlers), AGAIN_MS)
  const { value, error } = useAsked((signal) => get<RunsPage>('runs', { pool: path, seq }, signal), `${path} ${seq} ${state}`)
  return (
    <>
      <Problem error={error} />
      {value ? <RunList page={value} isOfEntry /> : error === undefined && <p class="empty">Loading …</p>}
    </>
  )
}
