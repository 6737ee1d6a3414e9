import type { NetworkPage, PoolRow } from '../../shapes.ts'
import { get } from '../api.ts'
import { ago, count, number } from '../format.ts'
import { useLive } from '../live.ts'
import { linkTo } from '../router.ts'
import { Chip, Empty, EntryLink, Facts, Hash, PoolName, Problem, Section, Text, useAsked } from '../ui.tsx'
import type { View } from './view.ts'

export const network: View = { name: 'network', title: 'Network', isInMenu: true, Page: NetworkPageOf }

/** What is not told is asked again as often as this, ms. */
const AGAIN_MS = 5_000

function NetworkPageOf() {
  const { overview } = useLive()
  const { pools, chain, at } = overview!
  const { value, error } = useAsked((signal) => get<NetworkPage>('network', {}, signal), Math.floor(at / AGAIN_MS))
  return (
    <div class="page">
      <h1>Network</h1>
      <Problem error={error} />
      <Section title="Peers">
        <table class="stacked">
          <thead>
            <tr>
              <th scope="col">Pool</th>
              <th scope="col">State</th>
              <th scope="col" class="right">
                Peers
              </th>
              <th scope="col" class="right">
                Blocks behind
              </th>
              <th scope="col">Public key</th>
            </tr>
          </thead>
          <tbody>
            {pools.map((pool) => (
              <tr key={pool.path}>
                <th scope="row">
                  <a href={linkTo('pool', pool.path)}>
                    <PoolName path={pool.path} />
                  </a>
                </th>
                <td>
                  {standsOf(pool)}
                  {pool.networkProblem !== undefined && (
                    <span class="why">
                      <Text>{pool.networkProblem}</Text>
                    </span>
                  )}
                </td>
                <td class="right number" data-name="peers">
                  {number(pool.peers ?? 0)}
                </td>
                <td class="right number" data-name="blocks behind">
                  {pool.behind === undefined ? '' : number(pool.behind)}
                </td>
                <td>
                  <Hash>{pool.key}</Hash>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {value && value.ids.length > 0 && (
          <Facts>
            {value.ids.map((id, i) => [
              value.ids.length > 1 ? `This machine, shard ${i}` : 'This machine',
              <Hash key={id} whole>
                {id}
              </Hash>,
            ])}
          </Facts>
        )}
      </Section>
      <Section title="Chain">
        {chain.length === 0 && (
          <Empty>
            This machine reads no chain. <code>bitcoin.chain</code> in its config names where it is read from.
          </Empty>
        )}
        {chain.map(({ path, source, height, blockAt, problem, since, halted }) => (
          <div key={path}>
            <Facts>
              {[
                ['Tip', height === undefined ? 'no block yet' : <b class="number">{number(height)}</b>],
                ['Block of', blockAt !== undefined && `${new Date(blockAt).toISOString()}, ${ago(blockAt, at)}`],
                ['Read from', source !== undefined && <Text>{source}</Text>],
                ['Not followed', problem !== undefined && `since ${since === undefined ? '?' : ago(since, at)}`],
              ]}
            </Facts>
            {(problem ?? halted) !== undefined && (
              <p class="problem">
                <Text>{(problem ?? halted)!}</Text>
              </p>
            )}
          </div>
        ))}
      </Section>
      <Section title="Broadcasting">
        {value?.problems.map((problem) => (
          <p class="problem" key={problem}>
            <Text>{problem}</Text>
          </p>
        ))}
        {value && !value.broadcasts && (
          <Empty>
            Nobody takes transactions of this machine to Bitcoin. <code>bitcoin</code> in its config names who does.
          </Empty>
        )}
        {value?.broadcasts && value.open.length === 0 && <Empty>No transaction is under way.</Empty>}
        {value && value.open.length > 0 && (
          <table class="stacked">
            <thead>
              <tr>
                <th scope="col">Transaction</th>
                <th scope="col">Status</th>
                <th scope="col">Says</th>
                <th scope="col">Said by entry</th>
              </tr>
            </thead>
            <tbody>
              {value.open.map(({ path, txid, seq, status, by, reason }) => (
                <tr key={`${path} ${txid}`}>
                  <th scope="row">
                    <Hash to={linkTo('find', txid)}>{txid}</Hash>
                  </th>
                  <td>
                    <Chip>{status}</Chip>
                  </td>
                  <td>
                    {by !== undefined && <Text>{by}</Text>} {reason !== undefined && <Text>{reason}</Text>}
                  </td>
                  <td>
                    <EntryLink path={path} seq={seq} /> of <PoolName path={path} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <Broadcasters pools={pools} />
      </Section>
    </div>
  )
}

function Broadcasters({ pools }: { pools: PoolRow[] }) {
  const at = pools.flatMap(({ path, handlers }) => handlers.flatMap((each) => (each.handler === 'broadcaster' ? [{ path, ...each }] : [])))
  if (!at.length) return null
  return (
    <Facts>
      {at.map(({ path, waiting, dead }) => [
        `Broadcaster of ${path}`,
        `${waiting ? `${count(waiting, 'entry', 'entries')} behind` : 'up to date'}${dead ? `, ${number(dead)} given up` : ''}`,
      ])}
    </Facts>
  )
}

function standsOf({ kind, published, subscribed, announced, encrypted, halted }: PoolRow) {
  if (halted !== undefined) return <Chip tone="bad">halted</Chip>
  const secret = encrypted ? ', encrypted' : ''
  if (kind === 'peer') return subscribed ? `followed${secret}` : 'not followed'
  if (!published) return <span class="soft">not published</span>
  return `published${secret}, ${announced ? 'announced' : 'not announced yet'}`
}
