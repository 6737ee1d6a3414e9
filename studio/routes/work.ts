import { OverpoolError } from '../../shared/errors.ts'
import { handlersOf } from '../../shared/machine/health.ts'
import type { Redriven } from '../../shared/machine/progress.ts'
import { cut } from '../../shared/printed.ts'
import { dataTransaction } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import type { DeadPage, DeadRow, Said } from '../shapes.ts'
import { fieldsIn, numberField, type RouteDeps, type Routes, textField } from './route.ts'

/** Dead letters of one answer, and characters of an error. */
const MAX_DEAD = 500
const MAX_ERROR = 4_000

export const workRoutes: Routes = {
  'GET dead': (_, deps) => deadOf(deps),
  'POST redrive': ({ body }, deps) => redriven(fieldsIn(body), deps),
  'POST post': ({ body }, deps) => posted(fieldsIn(body), deps),
}

/** What the handlers gave up, and where they stopped. */
async function deadOf({ machine: { pools, stores } }: RouteDeps): Promise<DeadPage> {
  const rows: DeadRow[] = []
  const stopped: DeadPage['stopped'] = []
  for (const { path } of await pools.list()) {
    const states = await handlersOf(path, await pools.length(path), stores)
    for (const { handler, dead, stopped: error, stoppedAt } of states) {
      if (error !== undefined) stopped.push({ path, handler, seq: stoppedAt!, error: cut(error, MAX_ERROR) })
      for (const { seq, error: why, attempts, at } of dead) rows.push({ path, handler, seq, error: cut(why, MAX_ERROR), attempts, at })
    }
  }
  rows.sort((one, other) => other.at - one.at)
  return { rows: rows.slice(0, MAX_DEAD), total: rows.length, stopped }
}

async function redriven(fields: Record<string, unknown>, { machine }: RouteDeps): Promise<Said> {
  const [path = '', handler] = [textField(fields, 'pool'), textField(fields, 'handler')]
  const error = textField(fields, 'error')
  const [from, to] = [numberField(fields, 'from'), numberField(fields, 'to')]
  const done = await machine.redrive(path, {
    ...(handler !== undefined && { handler }),
    ...(error !== undefined && { error }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    skip: fields.skip === true,
    drop: fields.drop === true,
  })
  const later = machine.isRunning ? '' : ', when the machine is started'
  const said = done.flatMap((each) => saysOf(each, each.paused === undefined ? later : ', when it is unpaused'))
  return { says: said.join('; ') || 'there was nothing to do' }
}

function saysOf({ handler, dead, stoppedAt, skipped, dropped }: Redriven, later: string): string[] {
  if (!dead.length && stoppedAt === undefined) return []
  if (dropped) return [`${handler} forgets ${entries(dead.length)}`]
  if (skipped) return [`${handler} passes over #${stoppedAt}${later}`]
  const what = [...(dead.length ? [entries(dead.length)] : []), ...(stoppedAt === undefined ? [] : [`#${stoppedAt}`])]
  return [`${handler} tries ${what.join(' and ')} again${later}`]
}

function entries(n: number): string {
  return n === 1 ? '1 entry' : `${n} entries`
}

/** Posts a sample, a text, or a transaction in any format. */
async function posted(fields: Record<string, unknown>, { machine, now }: RouteDeps): Promise<Said & { hash: string; id: string }> {
  const [path = '', transaction, data, memo] = ['pool', 'transaction', 'data', 'memo'].map((name) => textField(fields, name))
  if ([transaction !== undefined, data !== undefined, fields.sample === true].filter(Boolean).length !== 1)
    throw new OverpoolError('BAD_ARGUMENT', 'give one of these to post: a transaction, a text, or a sample')
  const sent =
    transaction?.replace(/\s+/g, '') ??
    (data === undefined ? sampleTransaction(`a sample of the studio, ${new Date(now()).toISOString()}`) : dataTransaction(data))
  const { hash, id } = await machine.pools.post({ path, payment: { transaction: sent, ...(memo !== undefined && { memo }) } })
  return { hash, id, says: machine.isRunning ? `posted to ${path}` : `posted to ${path}; it enters the ledger when the machine is started` }
}
