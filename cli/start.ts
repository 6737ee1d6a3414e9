import { relative, resolve } from 'node:path'
import { levelOf, lineOf } from '../local/report.ts'
import { type Started, start } from '../local/start.ts'
import { keepStudioToken, servesStudio, studioUrl } from '../local/studio.ts'
import { reasonOf } from '../shared/errors.ts'
import type { Level, LogFormat } from '../shared/log.ts'
import { Repeats } from '../shared/repeats.ts'
import type { PoolControl } from '../shared/store/control.ts'
import type { CommandContext } from './commands.ts'
import { keepHeapSmall } from './heap.ts'
import { logOf, printJson } from './log.ts'
import { count } from './out.ts'
import { quoted, sampleFor } from './sample.ts'

export interface StartFlags {
  config: string
  port: number
  host: string
  /** how the log is written */
  log: 'text' | 'json'
}

/** So much of a path is shown in a refusal, characters. */
const MAX_PATH = 80
/** If stopping takes longer than this, it says why, ms. */
const SLOW_MS = 1_000

/** Runs the machine of a config until the signal is aborted. */
export async function run(flags: StartFlags, { where: { dir }, out }: CommandContext<{ dir: string }>, signal: AbortSignal): Promise<void> {
  keepHeapSmall()
  process.setSourceMapsEnabled(true) // a handler's mistake is shown at its place in the user's own file
  const logFormat: LogFormat = out.isJson || flags.log === 'json' ? 'json' : 'timed'
  const log = logOf(logFormat)
  if (logFormat === 'json') printJson()
  // Where the log is read by programs, the beginning and the end are lines of it.
  const say =
    logFormat === 'json' && !out.isJson
      ? (event: Event) => log('info', event.line, event.fields)
      : (event: Event) => out.show(event.answer, event.text)
  const reports = new Repeats<[Level, object?]>((line, level, fields) => log(level, line, fields))
  const started = await start({
    ...flags,
    config: resolve(flags.config),
    dir,
    say: log,
    logFormat,
    report(report) {
      const line = lineOf(report)
      if (line === undefined) return
      const { error: _, ...fields } = { error: undefined, ...report }
      reports.say(line, levelOf(report), fields)
    },
    refused: ({ path, status, error }) => reports.say(`refused POST ${path.slice(0, MAX_PATH)}: ${status}, ${reasonOf(error)}`, 'warn'),
  })
  const { url, pools } = started
  const known = await started.machine.pools.list()
  const listed = known.map(({ path, kind, key, desired }) => {
    if (kind === 'peer') return { path, key, subscribed: desired?.subscribe ?? false }
    return {
      path,
      key,
      ...(pools.some((pool) => pool.path === path && pool.hasDoor) && { url: `${url}/${path}` }),
      published: desired?.publish ?? false,
    }
  })
  say({
    line: `takes payments at ${url}; the ledger is in ${shown(dir)}`,
    fields: { kind: 'started', url, dir, pools: listed },
    answer: { url, dir, pools: listed },
    text: await welcome(started, known, dir, flags.host),
  })
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  const slow = setTimeout(
    () =>
      log(
        'info',
        'waiting for a handler to finish its entry, or for the network to be left; Ctrl-C again ends at once, and the handler gets that entry again',
      ),
    SLOW_MS,
  )
  await started.close()
  clearTimeout(slow)
  reports.end()
  const stopped = `stopped; ${pools.length === 1 ? 'the pool is' : 'the pools are'} in ${shown(dir)}`
  say({ line: stopped, fields: { kind: 'stopped', dir }, answer: { stopped: true, dir }, text: stopped })
}

/** What `start` says: as a line of the log with fields, as an answer in JSON, or as a text for people. */
interface Event {
  line: string
  fields: object
  answer: object
  text: string
}

async function welcome(started: Started, known: PoolControl[], dir: string, host: string): Promise<string> {
  const { url, pools, machine } = started
  const doors = pools.filter(({ hasDoor }) => hasDoor)
  const lines = async (some: Started['pools'], prefix: string) => {
    const width = Math.max(...some.map(({ path }) => path.length))
    const line = async ({ path, handler }: Started['pools'][number]) =>
      `  ${prefix}${path.padEnd(width)}  ${count(await machine.pools.length(path), 'entry', 'entries')}, ${handler ? `handled by ${handler}` : 'no handler'}`
    return (await Promise.all(some.map(line))).join('\n')
  }
  const nobody = `Overpool runs, and takes no payments: ${pools.length ? 'nobody posts into its pools over HTTP' : 'its config names no pools'}.`
  const grids = pools.filter(({ isGrid }) => isGrid)
  const closed = pools.filter(({ isGrid, hasDoor }) => !isGrid && !hasDoor)
  return [
    ...(doors.length ? [`Overpool takes payments at:\n\n${await lines(doors, `${url}/`)}\n`, ...(await invitation(started))] : [nobody]),
    ...(pools.some(({ isOpen }) => isOpen)
      ? ['Web pages that are open on this computer can post too. The setting `origins` of a pool names those that may.\n']
      : []),
    ...(grids.length ? [`It takes entries from the chain into:\n\n${await lines(grids, '')}\n`] : []),
    ...(closed.length ? [`Nobody posts over HTTP into:\n\n${await lines(closed, '')}\n`] : []),
    ...section(
      'Published; others follow them with `overpool sub` and these keys:',
      known.filter(({ kind, desired }) => kind !== 'peer' && desired?.publish),
      ({ path, key, desired }) => `${path}  ${key}${desired?.encrypt ? `  encrypted: \`overpool pub ${path}\` prints what opens it` : ''}`,
    ),
    ...section(
      'Followed; `overpool status` shows how far they have come:',
      known.filter(({ kind, desired }) => kind === 'peer' && desired?.subscribe),
      ({ key }) => key,
    ),
    ...(servesStudio(host)
      ? [`The studio shows all of it in a browser. Keep its address to yourself:\n\n  ${studioUrl(url, keepStudioToken(dir))}\n`]
      : []),
    `The ledger is in ${shown(dir)}. Ctrl-C stops the machine.`,
  ].join('\n')
}

/** A line that posts a sample to the first pool whose filter takes it. */
async function invitation({ url, pools, machine }: Started): Promise<string[]> {
  const refusals: string[] = []
  const [priced] = pools.filter(({ hasDoor, price }) => hasDoor && price !== undefined)
  for (const pool of pools.filter(({ hasDoor, price }) => hasDoor && price === undefined)) {
    const sample = await sampleFor(pool, machine.pools)
    if (sample.payment)
      return [
        'Post one from another terminal (the same one twice is one entry; this line differs at each start):\n',
        `  curl ${url}/${pool.path} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(sample.payment))}\n`,
      ]
    refusals.push(`  ${pool.path}: ${sample.refusal}`)
  }
  if (priced && !refusals.length) return [`This shows what an entry costs, and how it is paid:\n\n  curl -i ${url}/${priced.path}\n`]
  return [`The filter refuses a sample payment, so post one that it takes:\n\n${refusals.join('\n')}\n`]
}

function section(title: string, pools: PoolControl[], line: (pool: PoolControl) => string): string[] {
  return pools.length ? [`${title}\n\n${pools.map((pool) => `  ${line(pool)}`).join('\n')}\n`] : []
}

function shown(dir: string): string {
  const near = relative('.', dir)
  return near === '' || near.startsWith('..') ? dir : near
}
