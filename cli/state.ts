import { readFileSync } from 'node:fs'
import type { RemoteMachine } from '../client/remote.ts'
import { OverpoolError, reasonOf } from '../shared/errors.ts'
import { inLine } from '../shared/printed.ts'
import { jsonOf, valueOfJson } from '../shared/state/json.ts'
import { decodeValue } from '../shared/state/values.ts'
import type { StateView } from '../shared/state/view.ts'
import { SHARED } from '../shared/store/state.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'
import { count, type Out } from './out.ts'

export interface StateFlags {
  pool?: string
  at?: number
  prefix?: string
  set?: string
  delete?: boolean
  watch?: boolean
  export?: boolean
  import?: string
}

/** Changes that --watch shows after a look at most. */
const MAX_CHANGES = 500
/** Values that are imported at a time: a commit holds few large ones. */
const IMPORTED_TOGETHER = 2
/** How often --watch looks without being notified, ms. */
const LOOK_MS = 1_000
/** A value is cut to so many characters in the list that people see. */
const MAX_SHOWN = 200

/** Shows, watches or changes what a handler remembers. */
export async function state(
  handler: string,
  key: string | undefined,
  flags: StateFlags,
  { where, out }: CommandContext,
  stopped: () => AbortSignal,
): Promise<void> {
  checkFlags(key, flags)
  await withMachine(where, async (machine) => {
    const view = await machine.pools.state({ handler, ...(await poolOf(handler, flags.pool, machine)) })
    if (flags.import !== undefined) return importValues(view, flags.import, out)
    if (flags.set !== undefined) return view.set(key!, parsed(flags.set)).then(() => showChanged(key!, 'is set', out))
    if (flags.delete) return view.delete(key!).then(() => showChanged(key!, 'is deleted', out))
    if (flags.watch) return watch(view, key, machine, out, stopped())
    if (key !== undefined) return showOne(view, key, flags.at, out)
    return showAll(view, flags, out)
  })
}

function checkFlags(
  key: string | undefined,
  { set, delete: isDelete, watch: isWatch, export: isExport, import: file, at, prefix }: StateFlags,
): void {
  const asked = [
    set !== undefined && '--set',
    isDelete && '--delete',
    isWatch && '--watch',
    isExport && '--export',
    file !== undefined && '--import',
  ].filter(Boolean)
  const wrong = (why: string) => new OverpoolError('BAD_ARGUMENT', why)
  if (asked.length > 1) throw wrong(`${asked.join(' and ')} do different things: give one of them`)
  if (key === undefined && (set !== undefined || isDelete))
    throw wrong(`name the key that ${asked[0]} is for: overpool state <handler> <key> ${asked[0]} …`)
  if (key !== undefined && (isExport || file !== undefined)) throw wrong(`${asked[0]} is for all keys: leave out "${key}"`)
  if (key !== undefined && prefix !== undefined) throw wrong('--prefix lists keys: leave out the key')
  if (at !== undefined && asked.length && !isExport)
    throw wrong(`--at shows an earlier state, which cannot be changed or watched: leave out ${asked[0]}`)
}

/** The pool that is meant: the one named, or the only one that the handler has worked on. */
async function poolOf(handler: string, pool: string | undefined, { pools, stores }: RemoteMachine): Promise<{ path?: string }> {
  if (pool !== undefined) return { path: pool }
  if ((await stores.state.look(handler, SHARED)).version > 0) return {}
  const all = await pools.list()
  const worked = await Promise.all(
    all.map(async ({ path }) => ((await stores.progress.listHandlers(path)).includes(handler) ? [path] : [])),
  )
  const [path, ...more] = worked.flat()
  if (path === undefined)
    throw new OverpoolError('HANDLER_NOT_FOUND', `no handler "${handler}" has worked on any pool: \`overpool pools\` shows the handlers`)
  if (more.length)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `"${handler}" has a state for each of its pools: add --pool ${[path, ...more].join(' or --pool ')}`,
    )
  return { path }
}

async function showOne(view: StateView, key: string, at: number | undefined, out: Out): Promise<void> {
  const value = await view.get(key, at === undefined ? {} : { at })
  if (value === undefined)
    throw new OverpoolError(
      'ENTRY_NOT_FOUND',
      `"${view.handler}" has nothing under the key "${key}"${at === undefined ? '' : ` at entry ${at}`}`,
    )
  out.show({ key, value: jsonOf(value) }, textOf(value))
}

async function showAll(view: StateView, { prefix, at, export: isExport }: StateFlags, out: Out): Promise<void> {
  let shown = 0
  for await (const { key, value } of view.all({ ...(prefix !== undefined && { prefix }), ...(at !== undefined && { at }) })) {
    const json = { key, value: jsonOf(value) }
    out.show(json, isExport ? JSON.stringify(json) : `${inLine(key)}  ${cut(textOf(value))}`)
    await out.drained()
    shown++
  }
  if (!shown && !isExport)
    out.say(
      `"${view.handler}" remembers nothing${view.scope === SHARED ? '' : ` in ${view.scope}`}${prefix === undefined ? '' : ` under keys that begin with "${prefix}"`}`,
    )
}

/** Shows each change as it is committed. */
async function watch(view: StateView, only: string | undefined, machine: RemoteMachine, out: Out, stopped: AbortSignal): Promise<void> {
  let seen = await view.version()
  while (!stopped.aborted) {
    await machine.changed(LOOK_MS, stopped)
    const version = await view.version()
    if (version === seen) continue
    const changes = (await view.changes({ limit: MAX_CHANGES, since: seen })).filter(({ key }) => only === undefined || key === only)
    for (const { pool, seq, key, after } of changes.reverse()) {
      const value = after && decodeValue(after)
      out.show(
        { pool, seq, key, value: value === undefined ? null : jsonOf(value) },
        `${pool} #${seq}  ${inLine(key)}  ${value === undefined ? 'deleted' : cut(textOf(value))}`,
      )
    }
    seen = version
  }
}

async function importValues(view: StateView, file: string, out: Out): Promise<void> {
  const lines = readFileSync(file === '-' ? 0 : file, 'utf8').split('\n')
  const items = lines.flatMap((line, i) => (line.trim() ? [itemOf(line, i + 1)] : []))
  const progress = out.progress('imported', 'keys')
  for (let done = 0; done < items.length; done += IMPORTED_TOGETHER) {
    await view.change(items.slice(done, done + IMPORTED_TOGETHER))
    progress.show({ done, total: items.length })
  }
  progress.end()
  out.show({ imported: items.length }, `${count(items.length, 'key is', 'keys are')} set; other keys are unchanged`)
}

function itemOf(line: string, n: number): { key: string; value: unknown } {
  try {
    const { key, value } = JSON.parse(line) as { key?: unknown; value?: unknown }
    if (typeof key === 'string' && value !== undefined) return { key, value: valueOfJson(value) }
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `line ${n} cannot be read: ${reasonOf(cause)}. Nothing was imported`, { cause })
  }
  throw new OverpoolError('BAD_ARGUMENT', `line ${n} has no key and value, such as {"key":"a","value":1}. Nothing was imported`)
}

function parsed(text: string): unknown {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `the value is not JSON: write a text in quotes, such as --set '"${text.slice(0, 20)}"'`, {
      cause,
    })
  }
  return valueOfJson(json)
}

function showChanged(key: string, what: string, out: Out): void {
  out.show({ key }, `${inLine(key)} ${what}; if the handler was running, its run starts again`)
}

function textOf(value: unknown): string {
  return JSON.stringify(jsonOf(value))
}

function cut(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}… (${text.length} characters)` : text
}
