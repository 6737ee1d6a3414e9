import type { HandlerRow, PoolRow } from '../../shapes.ts'
import { count, duration, number, rate } from '../format.ts'
import { useLive } from '../live.ts'
import { linkTo } from '../router.ts'
import { Chip, Empty, PoolName, Section, Spark, Text } from '../ui.tsx'
import { HandlerPause } from './handler-pause.tsx'
import type { View } from './view.ts'

export const overview: View = { name: '', title: 'Overview', isInMenu: true, Page: OverviewPage }

function OverviewPage() {
  const live = useLive()
  const { pools, problems, ingress, chain } = live.overview!
  const sum = (of: (pool: PoolRow) => number) => pools.reduce((total, pool) => total + of(pool), 0)
  const ofHandlers = (of: (handler: HandlerRow) => number) =>
    sum(({ handlers }) => handlers.reduce((total, handler) => total + of(handler), 0))
  const dead = ofHandlers((handler) => handler.dead)
  const [tip] = chain
  return (
    <div class="page">
      <h1>Overview</h1>
      <dl class="tiles">
        <Tile name="Entries" value={number(sum(({ entries }) => entries))} />
        <Tile name="Entries a second" value={rate(sum(({ path }) => live.rate(path)))} />
        <Tile name="Waiting for handlers" value={number(ofHandlers(({ waiting }) => waiting))} />
        <Tile name="Posts under way" value={number(ingress.waiting + ingress.inFlight)} />
        <Tile name="Given up" value={number(dead)} tone={dead ? 'bad' : ''} />
        {tip?.height !== undefined && <Tile name="Chain tip" value={number(tip.height)} />}
      </dl>
      {problems.length > 0 && (
        <Section title={count(problems.length, 'thing needs', 'things need').concat(' attention')}>
          <ul class="problems">
            {problems.map((problem) => (
              <li key={problem}>
                <Text lines>{problem}</Text>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title="Pools">
        {pools.length ? (
          <table class="stacked">
            <thead>
              <tr>
                <th scope="col">Pool</th>
                <th scope="col" class="right">
                  Entries
                </th>
                <th scope="col" class="right">
                  A second
                </th>
                <th scope="col">Last minute</th>
                <th scope="col">Handlers</th>
                <th scope="col">Network</th>
              </tr>
            </thead>
            <tbody>
              {pools.map((pool) => (
                <PoolLine key={pool.path} pool={pool} />
              ))}
            </tbody>
          </table>
        ) : (
          <Empty>This machine has no pools yet. Name one in overpool.config.ts.</Empty>
        )}
      </Section>
    </div>
  )
}

function Tile({ name, value, tone = '' }: { name: string; value: string; tone?: string }) {
  return (
    <div class={`tile ${tone}`}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function PoolLine({ pool }: { pool: PoolRow }) {
  const live = useLive()
  const { path, entries, handlers, halted, kind } = pool
  return (
    <tr>
      <th scope="row">
        <a href={linkTo('pool', path)}>
          <PoolName path={path} />
        </a>{' '}
        {kind !== 'own' && <Chip>{kind}</Chip>} {halted !== undefined && <Chip tone="bad">halted</Chip>}
      </th>
      <td class="right number" data-name="entries">
        {number(entries)}
      </td>
      <td class="right number" data-name="a second">
        {rate(live.rate(path))}
      </td>
      <td class="sparks">
        <Spark counts={live.perSecond(path)} />
      </td>
      <td>
        {handlers.length === 0 && <span class="soft">none</span>}
        {handlers.map((handler) => (
          <HandlerLine key={handler.handler} path={path} handler={handler} />
        ))}
      </td>
      <td>{networkOf(pool)}</td>
    </tr>
  )
}

function HandlerLine({ handler: row, path }: { handler: HandlerRow; path: string }) {
  const { handler, waiting, since, attempts, stopped, stoppedAt, dead } = row
  const { at } = useLive().overview!
  // The clock of the machine says both: that of this computer may be another.
  const late = since === undefined || at - since < 1_000 ? '' : ` by ${duration(at - since)}`
  return (
    <div class="line">
      <span>{handler}</span>
      {stopped === undefined ? (
        <Chip tone={waiting ? 'warn' : 'good'}>{waiting ? `${number(waiting)} behind${late}` : 'up to date'}</Chip>
      ) : (
        <a href={linkTo('dead')}>
          <Chip tone="bad">{`stopped at #${stoppedAt}`}</Chip>
        </a>
      )}
      {attempts !== undefined && stopped === undefined && <Chip tone="warn">{`fails, attempt ${attempts}`}</Chip>}
      {dead > 0 && (
        <a href={linkTo('dead')} aria-label={`${dead} given up by ${handler} in ${path}`}>
          <Chip tone="bad">{`${number(dead)} given up`}</Chip>
        </a>
      )}
      <HandlerPause path={path} handler={row} />
    </div>
  )
}

function networkOf({ published, subscribed, peers = 0, behind, kind }: PoolRow) {
  if (kind === 'peer') return subscribed ? `${count(peers, 'peer')}${behind ? `, ${count(behind, 'block')} behind` : ''}` : 'not followed'
  return published ? `published, ${count(peers, 'peer')}` : <span class="soft">private</span>
}
