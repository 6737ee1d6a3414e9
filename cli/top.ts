import type { RemoteMachine } from '../client/remote.ts'
import { type HandlerHealth, handlersOf, problemsOf } from '../shared/machine/health.ts'
import { inLine, printed } from '../shared/printed.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'
import { count } from './out.ts'

/** How often it looks, ms; a stack is asked over the network. */
const LOOK_MS = 1_000
const LOOK_ON_AWS_MS = 5_000
/** Rates are those of this time, ms. */
const RATE_MS = 10_000

/** A pool at one moment. */
interface PoolNow {
  path: string
  entries: number
  peers?: number
  halted?: string
  handlers: HandlerHealth[]
  problems: string[]
}

/** A machine at one moment. */
interface MachineNow {
  at: number
  isRunning: boolean
  /** posts that wait for the writer */
  waiting: number
  pools: PoolNow[]
}

/** What a view is written to: a terminal, or a file. */
type Screen = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows' | 'write' | 'on' | 'off'>
type Keys = Pick<NodeJS.ReadStream, 'isTTY' | 'setRawMode' | 'resume' | 'pause' | 'on' | 'off'>

/** Shows the pools with their rates, lags and errors, again and again until `q` or Ctrl-C; once, if the output is no terminal. */
export async function top({ where, out }: CommandContext, signal: AbortSignal): Promise<void> {
  await withMachine(where, async (machine) => {
    if (out.isJson || !process.stdout.isTTY) {
      const now = await look(machine)
      out.show(now, linesOf([now], 100, Number.POSITIVE_INFINITY).join('\n'))
      return
    }
    const everyMs = where.stack === undefined ? LOOK_MS : LOOK_ON_AWS_MS
    await view(() => look(machine), everyMs, process.stdout, process.stdin, signal)
  })
}

/** Draws until `q`, Ctrl-C or the signal. The terminal is left as it was, with the last view on it. */
async function view(read: () => Promise<MachineNow>, everyMs: number, screen: Screen, keys: Keys, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const stop = () => over.abort()
  const key = (pressed: Buffer) => {
    if (['q', 'Q', '\u0003'].includes(pressed.toString())) stop()
  }
  let samples: MachineNow[] = []
  const draw = () => {
    const lines = linesOf(samples, screen.columns, screen.rows - 1)
    // Each line is cleared to its end, and the screen below: so nothing flickers.
    screen.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\n')}\n\u001b[J`)
  }
  signal.addEventListener('abort', stop)
  screen.on('resize', draw)
  keys.on('data', key)
  if (keys.isTTY) keys.setRawMode(true)
  keys.resume()
  screen.write('\u001b[2J\u001b[?25l')
  try {
    while (!over.signal.aborted && !signal.aborted) {
      const now = await read()
      samples = [...samples.filter(({ at }) => at > now.at - RATE_MS && at <= now.at), now]
      draw()
      await aborted(over.signal, everyMs)
    }
  } finally {
    screen.write('\u001b[?25h')
    if (keys.isTTY) keys.setRawMode(false)
    keys.pause()
    keys.off('data', key)
    screen.off('resize', draw)
    signal.removeEventListener('abort', stop)
  }
}

/** Resolves when the signal is aborted, or after `ms`. */
function aborted(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}

async function look(machine: RemoteMachine): Promise<MachineNow> {
  const [pools, { waiting, inFlight }] = await Promise.all([machine.pools.list(), machine.ingress.depth()])
  return {
    at: Date.now(),
    isRunning: machine.isRunning,
    waiting: waiting + inFlight,
    pools: await Promise.all(
      pools.map(async (pool) => {
        const { path, network, halted } = pool
        const entries = await machine.pools.length(path)
        const handlers = await handlersOf(path, entries, machine.stores)
        return { path, entries, ...(network && { peers: network.peers }), halted, handlers, problems: problemsOf(pool, handlers) }
      }),
    ),
  }
}

const COLUMNS = ['pool', 'entries', '/s', 'peers', 'handler', 'behind', '/s', 'gave up', 'state'] as const
/** Those with numbers stand on the right. */
const NUMBERS: ReadonlySet<number> = new Set([1, 2, 3, 5, 6, 7])

/** The view: the newest sample, with rates since the first one. @param rows so many lines at most */
function linesOf(samples: MachineNow[], columns: number, rows: number): string[] {
  const now = samples.at(-1)!
  const rate = rateIn(samples)
  const table = [[...COLUMNS] as string[], ...now.pools.flatMap((pool) => rowsOf(pool, rate))]
  const widths = COLUMNS.map((_, i) => table.reduce((most, row) => Math.max(most, row[i]!.length), 0))
  const problems = now.pools.flatMap((pool) => pool.problems)
  const lines = [
    `${new Date(now.at).toISOString()}  ${now.isRunning ? 'running' : 'no machine runs here'}  ${count(now.pools.length, 'pool', 'pools')}  ${count(now.waiting, 'post waits', 'posts wait')}`,
    '',
    ...table.map((row) =>
      row
        .map((cell, i) => (NUMBERS.has(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    ),
    ...(problems.length ? ['', ...problems] : []),
  ].map((line) => printed(inLine(line)).slice(0, columns))
  return lines.length <= rows
    ? lines
    : [...lines.slice(0, Math.max(0, rows - 1)), `… ${lines.length - rows + 1} more lines`.slice(0, columns)]
}

function rowsOf({ path, entries, peers, halted, handlers }: PoolNow, rate: Rate): string[][] {
  const name = path.length === 64 ? `${path.slice(0, 12)}…` : path // a peer's pool has its key as its name
  const pool = [name, String(entries), rate((then) => then.pools.find((other) => other.path === path)?.entries), String(peers ?? '')]
  if (!handlers.length) return [[...pool, '', '', '', '', halted === undefined ? '' : 'halted']]
  return handlers.map((state, i) => {
    const { handler, waiting, dead } = state
    const doneThen = (then: MachineNow) =>
      then.pools.find((other) => other.path === path)?.handlers.find((other) => other.handler === handler)?.done
    const its = [
      handler,
      String(Math.max(0, waiting)),
      rate(doneThen),
      String(dead.length),
      halted === undefined ? stateOf(state) : 'halted',
    ]
    return [...(i ? ['', '', '', ''] : pool), ...its]
  })
}

function stateOf({ paused, stopped, attempts }: HandlerHealth): string {
  if (paused !== undefined) return 'paused'
  if (stopped !== undefined) return 'stopped'
  return attempts ? `failing (${attempts})` : 'ok'
}

/** How fast a number grows, a second. */
type Rate = (number: (then: MachineNow) => number | undefined) => string

function rateIn(samples: MachineNow[]): Rate {
  const [first, last] = [samples[0]!, samples.at(-1)!]
  return (number) => {
    const [then, now] = [number(first), number(last)]
    if (then === undefined || now === undefined || last.at <= first.at) return ''
    const rate = Math.max(0, now - then) / ((last.at - first.at) / 1_000)
    return rate < 10 ? rate.toFixed(1) : String(Math.round(rate))
  }
}
