import { OverpoolError } from '../errors.ts'
import type { BlockEvent, CommitEvent, EventOfKind, InvoiceEvent, LedgerEvent, ReorgEvent, StatusEvent, TxEvent } from '../ledger/event.ts'
import type { EntryInvoice, HandledKind, Kind } from '../ledger/kinds.ts'
import type { HandlerState } from '../state/handler-state.ts'
import type { Pools } from './machine.ts'

/** Called with each transaction of a pool. */
export type OnTx<Values extends object = Record<string, unknown>> = (event: TxEvent, pool: Pools, state: HandlerState<Values>) => unknown
/** Called with each change of a transaction's status. */
export type OnStatus<Values extends object = Record<string, unknown>> = (
  event: StatusEvent,
  pool: Pools,
  state: HandlerState<Values>,
) => unknown
/** Called with each block of the chain. */
export type OnBlock<Values extends object = Record<string, unknown>> = (
  event: BlockEvent,
  pool: Pools,
  state: HandlerState<Values>,
) => unknown
/** Called when the chain takes blocks back. */
export type OnReorg<Values extends object = Record<string, unknown>> = (
  event: ReorgEvent,
  pool: Pools,
  state: HandlerState<Values>,
) => unknown

/** A payment of an invoice. */
export type InvoicePayment = TxEvent & { invoice: EntryInvoice }
/** Called with each payment of an invoice, and when one is cancelled or has expired unpaid. */
export type OnInvoice<Values extends object = Record<string, unknown>> = (
  event: InvoiceEvent | InvoicePayment,
  pool: Pools,
  state: HandlerState<Values>,
) => unknown

/** The functions of a handler, by the kind of the entries that each is called with. */
export type HandlerFunctions = {
  [K in Exclude<HandledKind, 'invoice'>]?: (event: EventOfKind<K>, pool: Pools, state: HandlerState) => unknown
} & {
  invoice?: OnInvoice
}

/** The same with what only a built-in handler has. */
export type AnyFunctions = HandlerFunctions & { commit?: (event: CommitEvent, pool: Pools) => unknown }

/** The same, as the runner calls them. */
export type BoundFunctions = { [K in Kind]?: (event: EventOfKind<K>, state: HandlerState) => unknown }

/** Binds a handler's functions to its pools. After a reload the next call uses the new function. */
export function bindFunctions(handler: { functions: AnyFunctions }, pools: Pools): BoundFunctions {
  const bound: Record<string, (event: never, state: HandlerState) => unknown> = {}
  for (const kind of Object.keys(handler.functions) as Kind[])
    bound[kind] = (event, state) => handler.functions[kind]?.(event, pools, state)
  if (handler.functions.invoice) bound.tx = (event, state) => ofTx(handler.functions, event, pools, state)
  return bound as BoundFunctions
}

/** The same functions; `called` is called with each event first. */
export function observed(bound: BoundFunctions, called: (event: LedgerEvent) => void): BoundFunctions {
  const calls = Object.entries(bound).map(([kind, call]: [string, (event: never, state: HandlerState) => unknown]) => [
    kind,
    (event: LedgerEvent, state: HandlerState) => {
      called(event)
      return call(event as never, state)
    },
  ])
  return Object.fromEntries(calls) as BoundFunctions
}

/** Gives a transaction to `onTx`, and then to `onInvoice`, if it pays an invoice. */
async function ofTx({ tx, invoice }: AnyFunctions, event: TxEvent, pools: Pools, state: HandlerState): Promise<void> {
  await tx?.(event, pools, state)
  if (isInvoicePayment(event)) await invoice?.(event, pools, state)
}

function isInvoicePayment(event: TxEvent): event is InvoicePayment {
  return event.invoice !== undefined
}

/** How a handler keeps its state. */
export interface HandlerOptions {
  /** 'shared': one state for all its pools, which then are handled one after the other; default 'pool': one for each */
  state?: 'pool' | 'shared'
  /** true: a reorganisation takes back the changes that undone blocks caused, before `onReorg` is called (docs/state.md) */
  undo?: boolean
}

/** A handler as one object: what its file exports by default. */
export interface HandlerDefinition<Values extends object = Record<string, unknown>> extends HandlerOptions {
  onTx?: OnTx<Values>
  onStatus?: OnStatus<Values>
  onBlock?: OnBlock<Values>
  onReorg?: OnReorg<Values>
  onInvoice?: OnInvoice<Values>
}

/** Gives the functions of a handler their types: `export default defineHandler<{ balance: number }>({ async onTx(e, pool, state) { … } })`. */
export function defineHandler<Values extends object = Record<string, unknown>>(
  handler: HandlerDefinition<Values>,
): HandlerDefinition<Values> {
  return handler
}

/** What a handler file exports for each kind. */
export const EXPORTS: Record<HandledKind, string> = {
  tx: 'onTx',
  status: 'onStatus',
  block: 'onBlock',
  reorg: 'onReorg',
  invoice: 'onInvoice',
}

/** The events of `on` that are not the names of pools. `*` is that of `underpool`. */
export const EVENTS: readonly string[] = [...Object.keys(EXPORTS), '*', 'error']

/**
 * The functions that a handler file exports; its default export stands for `onTx`.
 * @param file how the config names it
 * @throws OverpoolError BAD_CONFIG: it exports none, one that is no function, or one that is misspelt
 */
export function handlerFunctions(exports: Record<string, unknown>, file: string): HandlerFunctions {
  return functionsIn(definitionIn(exports), file)
}

/** How the handler of a file remembers. @throws OverpoolError BAD_CONFIG: its `state` or `undo` is none */
export function handlerOptions(exports: Record<string, unknown>, file: string): HandlerOptions {
  const { state, undo } = definitionIn(exports)
  if (state !== undefined && state !== 'pool' && state !== 'shared') throw wrong(file, "has a `state` that is neither 'pool' nor 'shared'")
  if (undo !== undefined && typeof undo !== 'boolean') throw wrong(file, 'has an `undo` that is neither true nor false')
  return { ...(state !== undefined && { state }), ...(undo !== undefined && { undo }) }
}

/** The exports of a file, with those of a default export that is a whole handler. */
function definitionIn(exports: Record<string, unknown>): Record<string, unknown> {
  return typeof exports.default === 'object' && exports.default !== null ? { ...exports.default, ...exports } : exports
}

function functionsIn(exports: Record<string, unknown>, file: string): HandlerFunctions {
  checkExports(
    Object.keys(exports).filter((name) => name !== 'default' || typeof exports.default === 'function'),
    file,
  )
  const functions: Record<string, unknown> = {}
  for (const [kind, name] of Object.entries(EXPORTS)) {
    const exported = exports[name] ?? (kind === 'tx' && typeof exports.default === 'function' ? exports.default : undefined)
    if (exported === undefined) continue
    if (typeof exported !== 'function') throw wrong(file, `exports ${name}, which is no function`)
    functions[kind] = exported
  }
  if (Object.keys(functions).length) return functions as HandlerFunctions
  throw none(file)
}

/** The same check by names alone, for a file that is bundled and not run. */
export function checkExports(names: string[], file: string): void {
  const known = new Set([...Object.values(EXPORTS), 'default'])
  for (const name of names) {
    const meant = Object.values(EXPORTS).find((known) => letters(known) === letters(name))
    if (meant !== undefined && meant !== name) throw wrong(file, `exports ${name}: write ${meant}`)
  }
  if (!names.some((name) => known.has(name))) throw none(file)
}

/** A name without capitals, `_` and `-`: `on_tx` means `onTx`. */
function letters(name: string): string {
  return name.replace(/[^a-z]/gi, '').toLowerCase()
}

function none(file: string): OverpoolError {
  return wrong(file, 'exports no onTx; write: export async function onTx(e, pool) { … }')
}

function wrong(file: string, what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `${file} ${what}`)
}
