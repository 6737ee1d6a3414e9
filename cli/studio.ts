import { relative } from 'node:path'
import { keepStudioToken, newStudioToken, serveStudio, servesStudio, studioUrl } from '../local/studio.ts'
import { stackOf } from '../shared/errors.ts'
import { logged } from '../shared/printed.ts'
import { STUDIO_PATH } from '../studio/path.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'

/** The door of a running machine has this time to answer, ms. */
const ANSWER_MS = 2_000

/** Prints where the studio of the running machine is, or serves it until the signal is aborted. */
export async function studio({ port }: { port?: number }, { where, out }: CommandContext, signal: AbortSignal): Promise<void> {
  await withMachine(where, async (machine) => {
    const token = where.stack === undefined ? keepStudioToken(where.dir) : newStudioToken()
    const own = where.stack === undefined && port === undefined ? await served(machine.doors) : undefined
    if (own !== undefined) {
      out.show({ url: studioUrl(own, token), served: 'by the machine' }, studioUrl(own, token))
      return
    }
    const place = where.stack === undefined ? relative('.', where.dir) || where.dir : `stack ${where.stack}`
    const log = (error: unknown) => void process.stderr.write(`${logged(stackOf(error))}\n`)
    const server = await serveStudio({ machine, place, token: () => token, log }, port ?? 0)
    out.show({ url: studioUrl(server.url, token), served: 'by this command' }, studioUrl(server.url, token))
    out.say('Ctrl-C ends it.')
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    await server.close()
  })
}

/** The first of these doors that serves the studio: a machine of an earlier version, or one that listens to others than this host, does not. */
async function served(doors: string[]): Promise<string | undefined> {
  for (const door of doors) {
    if (!servesStudio(new URL(door).hostname)) continue
    const answer = await fetch(`${door}${STUDIO_PATH}`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer?.ok && (answer.headers.get('content-security-policy') ?? '').includes(STUDIO_PATH)) return door
  }
  return undefined
}
