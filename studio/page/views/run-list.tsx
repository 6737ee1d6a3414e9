import type { Run } from '../../../shared/store/runs.ts'
import type { RunsPage } from '../../shapes.ts'
import { count } from '../format.ts'
import { Chip, Empty, EntryLink, Long, Text, When } from '../ui.tsx'

const TONES = { ok: 'good', failed: 'warn', 'given-up': 'bad' }

/** Runs with what they printed and threw. @param isOfEntry all are of one entry, which need not be named */
export function RunList({ page: { isKept, rows, looked, isCut }, isOfEntry = false }: { page: RunsPage; isOfEntry?: boolean }) {
  if (!isKept) return <Empty>This machine keeps no runs of its handlers.</Empty>
  return (
    <>
      {rows.length === 0 && (
        <Empty>
          {looked === 0 ? 'No runs are kept here: no handler has run, or it was long ago.' : 'None of the runs that are kept is like this.'}
        </Empty>
      )}
      <ul class="letters" aria-label="Runs, the newest first">
        {rows.map((run) => (
          <OneRun key={`${run.handler} ${run.seq} ${run.attempt} ${run.startedAt}`} run={run} isOfEntry={isOfEntry} />
        ))}
      </ul>
      {isCut && <p class="foot soft">The newest {count(looked, 'run')} were looked at. There may be older ones.</p>}
    </>
  )
}

function OneRun({
  run: { handler, pool, seq, kind, attempt, startedAt, ms, outcome, posts, console: lines, error },
  isOfEntry,
}: {
  run: Run
  isOfEntry: boolean
}) {
  return (
    <li>
      <p class="put">
        {!isOfEntry && <EntryLink path={pool} seq={seq} />}
        <Text>{handler}</Text>
        <Chip tone={TONES[outcome]}>{outcome}</Chip>
        <span class="soft">
          {kind}, <When at={startedAt} />, {ms.toFixed(1)} ms, attempt {attempt}, {count(posts, 'post')}
        </span>
      </p>
      {lines.length > 0 && <Long>{lines.join('\n')}</Long>}
      {error !== undefined && <Long>{error}</Long>}
    </li>
  )
}
