import { OverpoolError } from '../../shared/errors.ts'
import type { Said } from '../shapes.ts'
import { fieldsIn, type RouteDeps, type Routes, textField } from './route.ts'

export const pauseRoutes: Routes = {
  'POST pause': ({ body }, deps) => paused(fieldsIn(body), deps),
  'POST unpause': ({ body }, deps) => unpaused(fieldsIn(body), deps),
}

async function paused(fields: Record<string, unknown>, { machine }: RouteDeps): Promise<Said> {
  const { pool, handler } = namedIn(fields)
  const reason = textField(fields, 'reason')?.trim()
  if (!reason) throw new OverpoolError('BAD_ARGUMENT', 'say why: others read the reason')
  await machine.pause(pool, handler, reason)
  return { says: `${handler} is paused in ${pool}` }
}

async function unpaused(fields: Record<string, unknown>, { machine }: RouteDeps): Promise<Said> {
  const { pool, handler } = namedIn(fields)
  const was = await machine.unpause(pool, handler)
  if (!was) return { says: `${handler} was not paused in ${pool}` }
  return { says: `${handler} goes on in ${pool}${machine.isRunning ? '' : ', when the machine is started'}` }
}

function namedIn(fields: Record<string, unknown>): { pool: string; handler: string } {
  const [pool, handler] = [textField(fields, 'pool'), textField(fields, 'handler')]
  if (pool !== undefined && handler !== undefined) return { pool, handler }
  throw new OverpoolError('BAD_ARGUMENT', 'say pool and handler')
}
