import { OverpoolError, reasonOf } from '../../shared/errors.ts'
import { cut } from '../../shared/printed.ts'
import { jsonOf, valueOfJson } from '../../shared/state/json.ts'
import { decodeValue } from '../../shared/state/values.ts'
import type { StateView } from '../../shared/state/view.ts'
import { SHARED } from '../../shared/store/state.ts'
import type { ChangeRow, Said, StatePage, StateValue } from '../shapes.ts'
import { fieldsIn, type RouteDeps, type Routes, textField, textIn } from './route.ts'

/** Keys and changes of one answer, and characters of a value in a list. */
const PAGE = 50
const MAX_CHANGES = 50
const MAX_SHOWN = 300

export const stateRoutes: Routes = {
  'GET state': ({ query }, deps) => keysOf(query, deps),
  'GET value': ({ query }, deps) => valueAt(query, deps),
  'GET changes': ({ query }, deps) => changesOf(query, deps),
  'POST set': ({ body }, deps) => set(fieldsIn(body), deps),
  'POST unset': ({ body }, deps) => unset(fieldsIn(body), deps),
}

async function keysOf(query: URLSearchParams, deps: RouteDeps): Promise<StatePage> {
  const view = await viewIn(query, deps)
  const [prefix, after] = [query.get('prefix') ?? '', query.get('after') ?? '']
  const [version, items] = await Promise.all([view.version(), view.list({ prefix, after, limit: PAGE + 1 })])
  return {
    isShared: view.scope === SHARED,
    version,
    rows: items.slice(0, PAGE).map(({ key, value }) => ({ key, json: cut(JSON.stringify(jsonOf(value)), MAX_SHOWN) })),
    isMore: items.length > PAGE,
  }
}

async function valueAt(query: URLSearchParams, deps: RouteDeps): Promise<StateValue> {
  const key = textIn(query, 'key')
  const value = await (await viewIn(query, deps)).get(key)
  return { key, ...(value !== undefined && { json: printed(value) }) }
}

async function changesOf(query: URLSearchParams, deps: RouteDeps): Promise<{ rows: ChangeRow[] }> {
  const changes = await (await viewIn(query, deps)).changes({ limit: MAX_CHANGES })
  const shown = (bytes: Uint8Array) => cut(JSON.stringify(jsonOf(decodeValue(bytes))), MAX_SHOWN)
  return {
    rows: changes.map(({ version, key, pool, seq, before, after }) => ({
      version,
      key,
      pool,
      seq,
      ...(before && { before: shown(before) }),
      ...(after && { after: shown(after) }),
    })),
  }
}

async function set(fields: Record<string, unknown>, deps: RouteDeps): Promise<Said> {
  const [key, json] = [textField(fields, 'key'), textField(fields, 'json')]
  if (key === undefined || json === undefined) throw new OverpoolError('BAD_ARGUMENT', 'say a key, and its value as JSON')
  const value = valueOfJson(parsed(json))
  const view = await fieldsView(fields, deps)
  await checkSame(view, key, fields.was)
  await view.set(key, value)
  return { says: `${key} is set` }
}

async function unset(fields: Record<string, unknown>, deps: RouteDeps): Promise<Said> {
  const key = textField(fields, 'key')
  if (key === undefined) throw new OverpoolError('BAD_ARGUMENT', 'say a key')
  const view = await fieldsView(fields, deps)
  await checkSame(view, key, fields.was)
  await view.delete(key)
  return { says: `${key} is deleted` }
}

/** Refuses to write over a value that the caller has not seen. @param was what was shown to them, '' if the key was not there; undefined: they do not care */
async function checkSame(view: StateView, key: string, was: unknown): Promise<void> {
  if (was === undefined) return
  const value = await view.get(key)
  if ((value === undefined ? '' : printed(value)) !== was)
    throw new OverpoolError('OVERTAKEN', `"${key}" has changed since you opened it: open it again, and change that`)
}

function printed(value: unknown): string {
  return JSON.stringify(jsonOf(value), undefined, 2)
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `this is no JSON: ${reasonOf(cause)}`, { cause })
  }
}

function viewIn(query: URLSearchParams, deps: RouteDeps): Promise<StateView> {
  return viewOf(textIn(query, 'handler'), query.get('pool') || undefined, deps)
}

function fieldsView(fields: Record<string, unknown>, deps: RouteDeps): Promise<StateView> {
  const handler = textField(fields, 'handler')
  if (handler === undefined) throw new OverpoolError('BAD_ARGUMENT', 'say handler')
  return viewOf(handler, textField(fields, 'pool'), deps)
}

/** A state that is one for all pools is found without a pool. */
function viewOf(handler: string, path: string | undefined, { machine }: RouteDeps): Promise<StateView> {
  return machine.pools.state({ handler, ...(path !== undefined && { path }) })
}
