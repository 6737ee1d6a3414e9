import { relative, resolve } from 'node:path'
import { lineOf } from '../local/report.ts'
import { type Started, start } from '../local/start.ts'
import { reasonOf } from '../shared/errors.ts'
import { logged } from '../shared/printed.ts'
import { Repeats } from '../shared/repeats.ts'
import type { PoolControl } from '../shared/store/control.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import type { CommandContext } from './commands.ts'
import { keepHeapSmall } from './heap.ts'
import { count } from './out.ts'

export interface StartFlags {
  config: string
  port: number
  host: string
}

/** So much of a path is shown in a refusal, characters. */
const MAX_PATH = 80
/** If stopping takes longer than this, it says why, ms. */
const SLOW_MS = 1_000

/** Runs the machine of a config until the signal is aborted. */
export async function run(flags: StartFlags, { where: { dir }, out }: CommandContext<{ dir: string }>, signal: AbortSignal): Promise<void> {
  keepHeapSmall()
  process.setSourceMapsEnabled(true) // a handler's mistake is shown at its place in the user's own file
  const log = (line: string) => console.error(logged(line))
  const reports = new Repeats(log)
  const started = await start({
    ...flags,
    config: resolve(flags.config),
    dir,
    say: log,
    report(report) {
      const line = lineOf(report)
      if (line !== undefined) reports.say(line)
    },
    refused: ({ path, status, error }) => reports.say(`refused POST ${path.slice(0, MAX_PATH)}: ${status}, ${reasonOf(error)}`),
  })
  const { url, pools } = started
  const known = await started.machine.pools.list()
  const listed = known.map(({ path, kind, key, desired }) =>
    kind === 'peer'
      ? { path, key, subscribed: desired?.subscribe ?? false }
      : { path, key, url: `${url}/${path}`, published: desired?.publish ?? false },
  )
  out.show({ url, dir, pools: listed }, await welcome(started, known, dir))
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  const slow = setTimeout(
    () =>
      log(
        'waiting for a handler to finish its entry, or for the network to be left; Ctrl-C again ends at once, and the handler gets that entry again',
      ),
    SLOW_MS,
  )
  await started.close()
  clearTimeout(slow)
  reports.end()
  out.say(`stopped; ${pools.length === 1 ? 'the pool is' : 'the pools are'} in ${shown(dir)}`)
}

async function welcome({ url, pools, machine }: Started, known: PoolControl[], dir: string): Promise<string> {
  const width = Math.max(...pools.map(({ path }) => path.length))
  const lines = await Promise.all(
    pools.map(
      async ({ path, handler }) =>
        `  ${`${url}/${path}`.padEnd(url.length + 1 + width)}  ${count(await machine.pools.length(path), 'entry', 'entries')}, ${handler ? `handled by ${handler}` : 'no handler'}`,
    ),
  )
  const first = pools[0]
  return [
    ...(first
      ? [
          `Overpool takes payments at:\n\n${lines.join('\n')}\n`,
          'Post one from another terminal (the same one twice is one entry; this line differs at each start):\n',
          `  curl ${url}/${first.path} -H 'Content-Type: application/json' -d '{"transaction":"${sampleTransaction(`hello, it is ${new Date().toISOString().slice(0, 19)}`)}"}'\n`,
        ]
      : ['Overpool runs, and takes no payments: its config names no pools.']),
    ...(pools.some(({ isOpen }) => isOpen)
      ? ['Web pages that are open on this computer can post too. The setting `origins` of a pool names those that may.\n']
      : []),
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
    `The ledger is in ${shown(dir)}. Ctrl-C stops the machine.`,
  ].join('\n')
}

function section(title: string, pools: PoolControl[], line: (pool: PoolControl) => string): string[] {
  return pools.length ? [`${title}\n\n${pools.map((pool) => `  ${line(pool)}`).join('\n')}\n`] : []
}

function shown(dir: string): string {
  const near = relative('.', dir)
  return near === '' || near.startsWith('..') ? dir : near
}
