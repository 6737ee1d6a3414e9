import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { isFromHere } from '../functions/payments/loopback.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { Project, pay } from './cli/project.ts'
import { until } from './machine/machine.ts'

const HANDLER = `
export async function onTx(e) {
  if (e.payment.memo === 'bad') throw new Error('no such table')
}\n`

interface Answer {
  status: number
  body: string
}

/** Asks as a client with these headers; `fetch` would not send some of them. */
function ask(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers }, async (answer) => resolve({ status: answer.statusCode!, body: await text(answer) }))
    asked.on('error', reject).end()
  })
}

/** The samples of a text of metrics: `name{labels}` to value. */
function samplesOf({ status, body }: Answer): Map<string, number> {
  expect(status).toBe(200)
  const lines = body.split('\n').filter((line) => line && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
}

describe('GET /_/metrics', () => {
  it('counts posts, refusals, runs and problems, and says how pools, handlers and the disk are', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 }, quiet: {} }, HANDLER)
    const machine = await project.start()
    const url = `${machine.url}/_/metrics`
    for (const memo of ['good', 'good, too', 'bad']) expect(await pay(`${machine.url}/mypool`, sampleTransaction(memo), memo)).toBe(200)
    expect(await pay(`${machine.url}/mypool`, 'ff')).toBe(422)
    expect(await pay(`${machine.url}/nopool`, sampleTransaction('x'))).toBe(404)
    await machine.says(/gave up mypool #2/)
    const samples = await until(
      async () => samplesOf(await ask(url)),
      (found) => found.get('overpool_dead_letters{handler="handler",pool="mypool"}') === 1,
    )
    expect(Object.fromEntries(samples)).toMatchObject({
      'overpool_posts_total{pool="mypool"}': 3,
      'overpool_refusals_total{code="BAD_TRANSACTION"}': 1,
      'overpool_refusals_total{code="POOL_NOT_FOUND"}': 1,
      overpool_ack_seconds_count: 3,
      'overpool_ack_seconds_bucket{le="+Inf"}': 3,
      'overpool_runs_total{handler="handler",outcome="ok"}': 2,
      'overpool_runs_total{handler="handler",outcome="given-up"}': 1,
      'overpool_run_seconds_count{handler="handler"}': 3,
      'overpool_problems_total{kind="given-up",level="error"}': 1,
      'overpool_pool_entries{pool="mypool"}': 3,
      'overpool_pool_entries{pool="quiet"}': 0,
      'overpool_pool_halted{pool="mypool"}': 0,
      'overpool_handler_lag_entries{handler="handler",pool="mypool"}': 0,
      'overpool_handler_paused{handler="handler",pool="mypool"}': 0,
      overpool_ingress_posts: 0,
    })
    expect(samples.get('overpool_ack_seconds_sum')).toBeGreaterThan(0)
    expect(samples.get('overpool_ack_seconds_sum')).toBeLessThan(10)
    for (const name of ['ledger_bytes', 'wal_bytes', 'cores_bytes', 'disk_free_bytes', 'process_memory_bytes', 'process_cpu_seconds'])
      expect(samples.get(`overpool_${name}`), name).toBeGreaterThan(0)
    expect(
      [...samples.keys()].filter((name) => name.includes('chain')),
      'a machine without a chain',
    ).toEqual([])

    await project.result('pause', 'mypool', '--handler', 'handler')
    await pay(`${machine.url}/mypool`, sampleTransaction('waits'))
    const paused = await until(
      async () => samplesOf(await ask(url)),
      (found) => found.get('overpool_handler_lag_entries{handler="handler",pool="mypool"}') === 1,
    )
    expect(paused.get('overpool_handler_paused{handler="handler",pool="mypool"}')).toBe(1)
    expect(paused.get('overpool_handler_lag_seconds{handler="handler",pool="mypool"}')).toBeGreaterThan(0)
  })

  it('answers programs of this computer alone: no other host name, no proxy, no web page', async () => {
    await using project = Project.of({ mypool: {} }, HANDLER)
    const { url } = await project.start()
    const { port } = new URL(url)
    const refused: Record<string, string>[] = [
      { host: `evil.example:${port}` }, // a name that was made to lead here
      { host: `127.0.0.1.evil.example:${port}` },
      { 'x-forwarded-for': '203.0.113.5' },
      { via: '1.1 proxy' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
    ]
    const nothing = await ask(`${url}/_/nothing`) // there is no such path
    expect(nothing.status).toBe(405)
    for (const headers of refused) {
      const { status, body } = await ask(`${url}/_/metrics`, headers)
      expect({ status, body }, JSON.stringify(headers)).toEqual(nothing)
    }
    const taken: Record<string, string>[] = [{}, { host: `localhost:${port}` }, { 'sec-fetch-site': 'none' }]
    for (const headers of taken) expect((await ask(`${url}/_/metrics`, headers)).status, JSON.stringify(headers)).toBe(200)
    const from = (address: string) => isFromHere({ address, header: (name) => (name === 'host' ? 'localhost:3000' : undefined) })
    expect(['127.0.0.1', '::1', '::ffff:127.0.0.1', '192.168.1.7', '::ffff:10.0.0.1', ''].map(from)).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
    ])
  })

  it('has a bounded number of series, however many pools there are, and whatever strangers post to', async () => {
    const pools = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`pool-${i}`, {}]))
    await using project = Project.of(pools, HANDLER)
    const machine = await project.start()
    for (let i = 0; i < 50; i++) await pay(`${machine.url}/stranger-${i}`, sampleTransaction('x'))
    for (const name of Object.keys(pools)) expect(await pay(`${machine.url}/${name}`, sampleTransaction(name))).toBe(200)
    const samples = samplesOf(await ask(`${machine.url}/_/metrics`))
    const of = (name: string) => [...samples].filter(([key]) => key.startsWith(`${name}{`))
    expect(of('overpool_pool_entries')).toHaveLength(101)
    expect(samples.get('overpool_posts_total{pool="other"}')).toBe(30)
    expect(of('overpool_posts_total').reduce((sum, [, value]) => sum + value, 0)).toBe(130)
    expect(of('overpool_refusals_total')).toEqual([['overpool_refusals_total{code="POOL_NOT_FOUND"}', 50]])
  })
})

describe('the dashboard of Grafana in docs/grafana.json', () => {
  const dashboard = JSON.parse(readFileSync(new URL('../docs/grafana.json', import.meta.url), 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  const exprs = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  const used = new Set(exprs.flatMap((expr) => expr.match(/overpool_\w+/g) ?? []))

  it('uses metrics and labels that the machine has, and shows each of them', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 } }, HANDLER)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('bad'), 'bad')
    await pay(`${machine.url}/mypool`, 'ff')
    await machine.says(/gave up mypool #0/)
    const { body } = await ask(`${machine.url}/_/metrics`)
    const types = new Map([...body.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!]))
    const parts = [...types].flatMap(([name, type]) => (type === 'histogram' ? [`${name}_bucket`] : [name]))
    expect([...used].sort()).toEqual(parts.sort())
    const labels = new Set([...body.matchAll(/[{,](\w+)="/g)].map(([, label]) => label))
    for (const [, named] of exprs.join('\n').matchAll(/by \(([^)]+)\)/g))
      for (const label of named!.split(/,\s*/)) expect([...labels], label).toContain(label)
  })

  it('each metric has its unit in its name, or counts what its name says', async () => {
    const units = /_(seconds(_bucket)?|bytes|entries|blocks|posts|peers|letters|halted|stopped|paused|total)$/
    expect([...used].filter((name) => !units.test(name))).toEqual([])
  })
})
