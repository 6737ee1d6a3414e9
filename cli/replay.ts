import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { RemoteMachine } from '../client/remote.ts'
import { type Replayed, replay as run } from '../local/replay.ts'
import { systemClock } from '../shared/clock.ts'
import { checkPool, checkSettings } from '../shared/config/config.ts'
import { checkHandlerName } from '../shared/config/handler-name.ts'
import { type PlannedHandler, planHandlers } from '../shared/config/handlers.ts'
import { load } from '../shared/config/load-user-file.ts'
import { OverpoolError } from '../shared/errors.ts'
import { handlerFunctions, handlerOptions } from '../shared/machine/handlers.ts'
import { poolsOf } from '../shared/machine/machine.ts'
import { inLine } from '../shared/printed.ts'
import { jsonOf } from '../shared/state/json.ts'
import { compareKeys } from '../shared/state/values.ts'
import type { StateView } from '../shared/state/view.ts'
import type { CommandContext } from './commands.ts'
import { readConfig } from './config.ts'
import { withMachine } from './machine.ts'
import { count, type Out } from './out.ts'

export interface ReplayFlags {
  handler: string
  from?: number
  to?: number
  into?: string
  compare?: boolean
  config: string
}

/** Failures and keys that are named to people. */
const MAX_LISTED = 20

/** Runs a handler again over a part of a pool. @returns whether nothing failed, and with --compare nothing differs */
export async function replay(path: string, flags: ReplayFlags, { where, out }: CommandContext, stopping: AbortSignal): Promise<boolean> {
  const { handler, into, compare = false, config: file, from = 0 } = flags
  checkFlags(flags)
  const config = await readConfig(file)
  const planned = planHandlers(config, dirname(resolve(file)))
  const found = planned.find(({ name }) => name === handler)
  if (!found) throw noHandler(handler, file, planned)
  if (planned.some(({ name }) => name === into))
    throw new OverpoolError('BAD_ARGUMENT', `${file} has a handler named "${into}": choose a name that no handler has`)
  const folder = mkdtempSync(join(tmpdir(), 'overpool-replay-'))
  try {
    const exports = await load(found.file, folder)
    const settings = config.pools[path] ? checkPool(config.pools[path], `pools.${path}`) : checkSettings({}, '')
    return await withMachine(where, async (machine) => {
      const pool = await machine.pools.control(path)
      const entries = await machine.pools.length(path)
      const to = Math.min(flags.to ?? entries - 1, entries - 1)
      const progress = out.progress('replayed', 'entries')
      const replayed = await run({
        pool,
        handler,
        functions: handlerFunctions(exports, found.named),
        options: handlerOptions(exports, found.named),
        ...(into !== undefined && { into }),
        from,
        to,
        stores: machine.stores,
        pools: poolsOf(machine),
        clock: systemClock,
        timeoutMs: settings.timeoutMs,
        progress: (seq) => progress.show({ done: seq - from, total: to - from + 1 }),
        report: () => {},
        stopping,
      }).finally(progress.end)
      out.show({ handler: into ?? handler, pool: path, ...replayed }, linesOf(path, flags, replayed, to).join('\n'))
      const agree = !compare || (await compared(machine, path, handler, into!, out))
      return !replayed.failed.length && agree
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function checkFlags({ handler, into, compare, from = 0, to }: ReplayFlags): void {
  if (into !== undefined) checkHandlerName(into)
  if (into === handler)
    throw new OverpoolError('BAD_ARGUMENT', '--into must be a new name: leave it out to run the handler under its own name')
  if (compare && into === undefined)
    throw new OverpoolError('BAD_ARGUMENT', '--compare compares the state of the handler with the state of --into: give --into as well')
  if (to !== undefined && to < from)
    throw new OverpoolError('BAD_ARGUMENT', `--to ${to} is before --from ${from}: give the number of the last entry that is run`)
}

function noHandler(handler: string, file: string, planned: PlannedHandler[]): OverpoolError {
  const names = planned.map(({ name }) => name).join(', ') || 'none'
  return new OverpoolError('HANDLER_NOT_FOUND', `${file} has no handler "${handler}"; it has: ${names}`)
}

function linesOf(
  path: string,
  { handler, into, to: asked }: ReplayFlags,
  { from, next, calls, failed, posts }: Replayed,
  to: number,
): string[] {
  const again = `overpool replay ${path} --handler ${handler} --from ${next}${asked === undefined ? '' : ` --to ${asked}`}`
  return [
    calls || next > from
      ? `${into ?? handler} ran on ${count(calls, 'entry', 'entries')} of ${path}, from #${from} to #${next - 1}`
      : `${into ?? handler} has run on all of ${path} before #${next}`,
    into === undefined
      ? 'its earlier posts were not made again; its state is unchanged'
      : `its state is its own: overpool state ${into} --pool ${path}; ${count(posts, 'post was', 'posts were')} counted, and not made`,
    ...failed.slice(0, MAX_LISTED).map(({ seq, error }) => `failed at #${seq}: ${inLine(error)}`),
    ...(failed.length > MAX_LISTED ? [`and ${failed.length - MAX_LISTED} more (--json lists all)`] : []),
    ...(next <= to ? [`stopped before #${next}; go on with: ${into === undefined ? again : 'the same command'}`] : []),
  ]
}

/** Shows the keys in which the states of two handlers differ. @returns whether there are none */
async function compared(machine: RemoteMachine, path: string, handler: string, into: string, out: Out): Promise<boolean> {
  const [ours, theirs] = await Promise.all([handler, into].map((name) => machine.pools.state({ handler: name, path })))
  let differ = 0
  for await (const { key, values } of pairsOf(ours!, theirs!)) {
    const [before, after] = values.map((value) => (value === undefined ? undefined : jsonOf(value)))
    if (JSON.stringify(before) === JSON.stringify(after)) continue
    differ++
    const text = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value))
    out.show(
      { key, [handler]: before ?? null, [into]: after ?? null },
      `${inLine(key)}  ${text(before)} in ${handler}, ${text(after)} in ${into}`,
    )
  }
  out.say(differ ? `the states differ in ${count(differ, 'key', 'keys')}` : 'the states are the same')
  return differ === 0
}

/** The keys of two states with their values, in order. */
async function* pairsOf(...views: [StateView, StateView]): AsyncGenerator<{ key: string; values: unknown[] }> {
  const readers = views.map((view) => view.all())
  const next = async (i: number) => (await readers[i]!.next()).value as { key: string; value: unknown } | undefined
  const heads = [await next(0), await next(1)]
  for (let [a, b] = heads; a || b; ) {
    const key = !b || (a && compareKeys(a.key, b.key) <= 0) ? a!.key : b.key
    yield { key, values: [a?.key === key ? a.value : undefined, b?.key === key ? b.value : undefined] }
    const [passA, passB] = [a?.key === key, b?.key === key]
    if (passA) a = await next(0)
    if (passB) b = await next(1)
  }
}
