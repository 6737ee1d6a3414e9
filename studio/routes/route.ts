import { OverpoolError } from '../../shared/errors.ts'
import { isUint } from '../../shared/ledger/values.ts'
import type { StudioMachine } from '../machine.ts'

/** What a route is made from. */
export interface RouteDeps {
  machine: StudioMachine
  /** which machine this is, for people */
  place: string
  now: () => number
}

export interface Ask {
  query: URLSearchParams
  /** the JSON of a call that changes something; undefined of others */
  body?: unknown
}

/** Answers with a value that becomes JSON, or throws an OverpoolError. */
type Route = (ask: Ask, deps: RouteDeps) => Promise<object>

/** By method and name, such as `GET overview`. */
export type Routes = Record<string, Route>

/** A text of the query. @throws OverpoolError BAD_ARGUMENT: it is missing */
export function textIn(query: URLSearchParams, name: string): string {
  const value = query.get(name)
  if (value) return value
  throw new OverpoolError('BAD_ARGUMENT', `${name} is missing`)
}

/** A whole number of the query. @throws OverpoolError BAD_ARGUMENT */
export function numberIn(query: URLSearchParams, name: string, missing?: number): number {
  const value = query.get(name)
  if (value === null && missing !== undefined) return missing
  if (value !== null && /^\d{1,15}$/.test(value)) return Number(value)
  throw new OverpoolError('BAD_ARGUMENT', `${name} must be a whole number: 0, 1, 2 …`)
}

/** The fields of a body. @throws OverpoolError BAD_ARGUMENT */
export function fieldsIn(body: unknown): Record<string, unknown> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>
  throw new OverpoolError('BAD_ARGUMENT', 'the body must be a JSON object')
}

/** A whole number of a body; undefined if it is missing. @throws OverpoolError BAD_ARGUMENT */
export function numberField(fields: Record<string, unknown>, name: string): number | undefined {
  const value = fields[name]
  if (value === undefined || isUint(value)) return value
  throw new OverpoolError('BAD_ARGUMENT', `${name} is a whole number: 0, 1, 2 …`)
}

/** A text field of a body; undefined if it is missing or empty. @throws OverpoolError BAD_ARGUMENT */
export function textField(fields: Record<string, unknown>, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined || value === '') return undefined
  if (typeof value === 'string') return value
  throw new OverpoolError('BAD_ARGUMENT', `${name} must be a text`)
}
