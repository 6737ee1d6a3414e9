import { useEffect } from 'preact/hooks'
import type { Found } from '../../shapes.ts'
import { get } from '../api.ts'
import { useLive } from '../live.ts'
import { linkTo, type Place, replace } from '../router.ts'
import { Empty, EntryLink, PoolName, Problem, Text, useAsked, useSlowed } from '../ui.tsx'
import type { View } from './view.ts'

export const find: View = { name: 'find', title: 'Find', isInMenu: false, Page: FindPage }

/** Where a transaction is, in any pool. If it is in one place, that is shown at once. */
function FindPage({ place }: { place: Place }) {
  const [, q = ''] = place.parts
  const { pools } = useLive().overview!
  // What was just posted is found when it is in the ledger.
  const entries = useSlowed(pools.reduce((sum, pool) => sum + pool.entries, 0))
  const { value, error } = useAsked(async (signal) => (await get<{ found: Found[] }>('find', { q }, signal)).found, `${q} ${entries}`)
  const [only, ...more] = value ?? []
  useEffect(() => {
    if (only && !more.length) replace(linkTo('pool', only.path, only.seq))
  }, [value])
  return (
    <div class="page">
      <h1>Find</h1>
      <p class="soft">
        <code>
          <Text>{q}</Text>
        </code>
      </p>
      <Problem error={error} />
      {value && !only && <Empty>No pool of this machine has an entry with this txid or entry id.</Empty>}
      {more.length > 0 && (
        <ul>
          {value!.map(({ path, seq }) => (
            <li key={`${path} ${seq}`}>
              <EntryLink path={path} seq={seq} /> of <PoolName path={path} />
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
