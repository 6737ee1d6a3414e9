import { setTimeout as wait } from 'node:timers/promises'
import { Bill, costOf } from '../aws/bill.ts'
import { Deployment } from '../aws/deployment.ts'
import { type Charge, monthly, monthlyAfterFree, standingOf } from '../aws/month.ts'
import { FREE_EACH_MONTH, MINUTES, PER_MILLION, PRICED, type Unit } from '../aws/prices.ts'
import { defaultResources } from '../cdk/synth.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, number } from './report.ts'

const POOL = 'mypool'
/** Loads: payments a second, and their duration, s. */
const PATTERNS: [rate: number, seconds: number][] = [
  [1, 30],
  [10, 20],
  [100, 20],
  [1_000, 10],
]
/** The time for the requests that follow a handled payment, above all the checkpoint, ms. */
const SETTLED_MS = 1_500

/** The memory of the functions, GB. Lambda gives a function a share of a processor by its memory: a whole one for 1,769 MB. */
const MEMORY = { payments: 0.25, handler: 0.5 }
const shareOf = (gb: number) => (gb * 1_024) / 1_769
/** The assumed time of an answer of SQS or DynamoDB within a region, ms: it cannot be measured without AWS. */
const ANSWER_MS = 10
/** The number of requests that a call of a function awaits in a row: the send; the read and the write of the cursor. */
const WAITS = { payments: 1, handler: 2 }

/** Lambda polls a queue with five pollers, or with as few as two at rest. Each waits 20 s. The event source here has one poller. */
const POLLERS = 5
/** Requests that depend on time and not on payments: they count for the month. */
const byTheClock = (what: string) => ['UpdateItem lease', 'Query control'].includes(what)

interface Taken {
  calls: number
  cpuMs: number
  sent: number
  logged: number
  handled: number
}

interface Functions {
  payments: Program
  handler: Program
  /** processor time of a payment, ms */
  paymentCpuMs: number
}

/** The requests of a machine in its deployed shape to AWS, and their cost: per payment at several rates, and in a month without payments. */
export async function aws({ smoke }: Effort): Promise<Figures> {
  const patterns = smoke ? PATTERNS.map(([rate]): [number, number] => [rate, Math.min(2, 100 / rate)]) : PATTERNS
  await using deployment = await Deployment.start([POOL])
  const functions = await start(deployment)
  try {
    let from = 0
    const { cpuMs } = await functions.payments.ask<{ cpuMs: number }>('payInTurn', { pool: POOL, from, count: smoke ? 20 : 500 })
    from += smoke ? 20 : 500
    await handled(functions, from)
    functions.paymentCpuMs = cpuMs
    const lines: Pattern[] = []
    for (const [rate, seconds] of patterns) {
      const count = Math.ceil(rate * seconds)
      lines.push(await play(deployment, functions, rate, from, count))
      from += count
    }
    const idle = await rest(deployment, smoke ? 1 : 60)
    return figuresOf(lines, await month(idle), functions)
  } finally {
    await Promise.all([functions.payments.kill(), functions.handler.kill()])
  }
}

async function start(deployment: Deployment): Promise<Functions> {
  const { payments: door, handlers } = deployment.program
  const [payments, handler] = await Promise.all([
    Program.start('lambda', door.dir, JSON.stringify(deployment.environment('payments'))),
    Program.start('lambda', handlers[0]!.bundle.dir, JSON.stringify(deployment.environment('handler'))),
  ])
  await handler.ask('listen', deployment.bellsUrl)
  return { payments, handler, paymentCpuMs: 0 }
}

async function handled({ handler }: Functions, payments: number): Promise<void> {
  while ((await handler.ask<Taken>('taken')).handled < payments) await wait(20)
}

// ---- under load

interface Pattern {
  rate: number
  reached: number
  payments: number
  blocks: number
  bill: Bill
}

async function play(deployment: Deployment, functions: Functions, rate: number, from: number, count: number): Promise<Pattern> {
  const { payments, handler, paymentCpuMs } = functions
  const both = () => Promise.all([payments.ask<Taken>('taken'), handler.ask<Taken>('taken')])
  const before = await both()
  const bill = new Bill()
  deployment.emulators.proxy.listen = (call) => bill.add(call)
  const ms = await payments.ask<number>('pay', { pools: [POOL], from, count, rate })
  await handled(functions, from + count)
  await wait(SETTLED_MS)
  deployment.emulators.proxy.listen = () => {}
  bill.split(byTheClock)
  const [door, runner] = (await both()).map((after, i) => difference(after, before[i]!)) as [Taken, Taken]
  bill.charge('calls of the payments function', 'Lambda request', count)
  bill.charge('time of the payments function', 'Lambda GB-second', gbSeconds('payments', count, paymentCpuMs))
  bill.charge('calls of the handler', 'Lambda request', runner.calls)
  bill.charge('time of the handler', 'Lambda GB-second', gbSeconds('handler', runner.calls, runner.cpuMs / runner.calls))
  bill.charge('logs and metrics of the functions', 'KB of logs', (door.logged + runner.logged) / 1_000)
  bill.charge('acknowledgements', 'KB sent out', door.sent / 1_000)
  return { rate, reached: (count / ms) * 1_000, payments: count, blocks: bill.line('PutItem block').requests, bill }
}

function difference(after: Taken, before: Taken): Taken {
  const names = Object.keys(after) as (keyof Taken)[]
  return Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) as unknown as Taken
}

/** The time for which Lambda bills a call, ms: processor time at the function's share of a processor, and the assumed time of answers. */
function durationMs(which: keyof typeof MEMORY, cpuMs: number): number {
  return Math.ceil(cpuMs / shareOf(MEMORY[which]) + WAITS[which] * ANSWER_MS)
}

function gbSeconds(which: keyof typeof MEMORY, calls: number, cpuMs: number): number {
  return (calls * durationMs(which, cpuMs) * MEMORY[which]) / 1_000
}

// ---- at rest

interface Rest {
  /** in a month */
  units: { what: string; unit: Unit; count: number }[]
}

async function rest(deployment: Deployment, seconds: number): Promise<Rest> {
  const bill = new Bill()
  const logged = deployment.logged
  deployment.emulators.proxy.listen = (call) => bill.add(call)
  await wait(seconds * 1_000)
  deployment.emulators.proxy.listen = () => {}
  const aMonth = (count: number) => (count * MINUTES * 60) / seconds
  const units = bill.lines.map(({ what, unit, units }) => {
    const pollers = what === 'ReceiveMessage tx-main.fifo' ? POLLERS : 1
    return { what: pollers > 1 ? `${what}, by ${pollers} pollers` : what, unit, count: aMonth(units) * pollers }
  })
  return { units: [...units, { what: 'log of the sidecar', unit: 'KB of logs', count: aMonth((deployment.logged - logged) / 1_000) }] }
}

interface Month {
  standing: Charge[]
  units: Rest['units']
  dollars: number
  afterFree: number
}

async function month({ units }: Rest): Promise<Month> {
  const standing = standingOf(await defaultResources())
  const sum = (list: number[]) => list.reduce((total, one) => total + one, 0)
  const requests = units.filter(({ unit }) => !unit.startsWith('SQS'))
  const queues = units.filter(({ unit }) => unit.startsWith('SQS'))
  const asked = sum(queues.map(({ count }) => count))
  const paid = Math.max(0, 1 - FREE_EACH_MONTH['SQS request']! / asked) // the share of requests beyond the free ones, of both kinds of queues
  const other = (free: boolean) =>
    sum(requests.map(({ unit, count }) => (Math.max(0, count - (free ? (FREE_EACH_MONTH[unit] ?? 0) : 0)) / 1e6) * PER_MILLION[unit]))
  const queued = sum(queues.map(({ unit, count }) => (count / 1e6) * PER_MILLION[unit]))
  return {
    standing,
    units,
    dollars: sum(standing.map(monthly)) + other(false) + queued,
    afterFree: sum(standing.map(monthlyAfterFree)) + other(true) + queued * paid,
  }
}

// ---- figures

function figuresOf(patterns: Pattern[], { standing, units, dollars, afterFree }: Month, { paymentCpuMs }: Functions): Figures {
  const cost = ({ bill, payments }: Pattern) => bill.perMillion(payments)
  const per1000 = ({ payments }: Pattern, count: number) => number((count / payments) * 1_000)
  const names = [...new Set(patterns.flatMap(({ bill }) => bill.lines.map(({ what }) => what)))]
  const busiest = patterns.filter(({ rate }) => rate >= 100)
  const row = (what: string, of: (pattern: Pattern) => string) => [what, ...patterns.map(of)]
  const lines = names.map((what) =>
    row(what, ({ bill, payments }) => {
      const line = bill.lines.find((one) => one.what === what)
      return line ? costOf(line, payments).toFixed(3) : ''
    }),
  )
  return {
    title: `aws: 226-byte transactions into one pool, in the deployed shape, over DynamoDB, SQS and S3 in memory; list prices of ${PRICED}`,
    rows: [
      ['payments a second', ...patterns.map(({ rate }) => number(rate))],
      row('reached', ({ reached }) => number(reached)),
      row('payments', ({ payments }) => number(payments)),
      row('entries in a block', ({ payments, blocks }) => number(payments / blocks)),
      row('requests per 1,000 payments', (one) => per1000(one, one.bill.asked.requests)),
      row('KB asked and answered per 1,000', (one) => per1000(one, one.bill.asked.bytes / 1_000)),
      ...lines,
      row('$ per million payments', (one) => cost(one).toFixed(2)),
    ],
    notes: [
      `Lambda's time is reckoned: ${number(paymentCpuMs)} ms of a processor here for a payment, at ${number(shareOf(MEMORY.payments) * 100)} % of one (256 MB), and ${ANSWER_MS} ms for the answer of SQS: ${durationMs('payments', paymentCpuMs)} ms.`,
      'Left out: the user’s handler, TLS, and storage (per million payments about $0.15 a month).',
      '',
      `idle, $ a month: ${dollars.toFixed(2)} at list price; ${afterFree.toFixed(2)} after the free amounts of each account`,
      ...standing.map((one) => standingLine(one.what, one.count, one.unit, monthly(one), monthlyAfterFree(one))),
      ...units.map(({ what, unit, count }) => standingLine(what, count, unit, (count / 1e6) * PER_MILLION[unit])),
      '',
      ...busiest.slice(0, 1).map(({ rate, payments, bill }) => `at ${number(rate)} payments a second:\n\n${bill.table(payments)}\n`),
    ],
    goals: [
      ...busiest.map((one) => ({ what: `at most $2 per million payments at ${number(one.rate)}/s`, met: cost(one) <= 2 })),
      { what: 'at most $13 a month idle, at list price', met: dollars <= 13 },
      { what: 'at most $13 a month idle, after the free amounts of each account', met: afterFree <= 13 },
    ],
  }
}

function standingLine(what: string, count: number, unit: string, ...dollars: number[]): string {
  return `  ${what.padEnd(48)}${number(count).padStart(10)} ${unit.padEnd(24)}${dollars.map((each) => each.toFixed(2).padStart(6)).join('')}`
}
