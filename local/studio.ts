import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isLoopback } from '../functions/payments/loopback.ts'
import type { StudioMachine } from '../studio/machine.ts'
import { isForStudio, STUDIO_PATH } from '../studio/path.ts'
import type { Studio, StudioDeps } from '../studio/studio.ts'
import { folderLayout, makeFolder } from './folder.ts'
import { boundConnections } from './http-connections.ts'
import { cannotListen } from './server.ts'

/** Bytes of a token. */
const TOKEN_BYTES = 24
const TOKEN = /^[\w-]{32,64}$/

/** The token of a machine's studio; undefined if it has none yet. Whoever has it sees all of the machine, and can post. */
export function readStudioToken(dir: string): string | undefined {
  try {
    const token = readFileSync(folderLayout(dir).studioToken, 'utf8').trim()
    return TOKEN.test(token) ? token : undefined
  } catch {
    return undefined
  }
}

/** The same; a folder that has none gets one. It stays the same from then on: an open page survives a restart. */
export function keepStudioToken(dir: string): string {
  const known = readStudioToken(dir)
  if (known !== undefined) return known
  makeFolder(dir)
  const file = folderLayout(dir).studioToken
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${newStudioToken()}\n`, { mode: 0o600 })
  renameSync(draft, file) // of two that are made at once, the later one stands
  return readStudioToken(dir)!
}

export function newStudioToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url')
}

/** Whether a machine that listens on this address, or has a door of this host, serves the studio there: none but programs of this host can connect. */
export function servesStudio(host: string): boolean {
  return isLoopback(host)
}

/** The address of a studio with its token. The part after the # is never sent: not to a server, nor in a Referer. @param url of the door */
export function studioUrl(url: string, token: string): string {
  return `${url}${STUDIO_PATH}#token=${token}`
}

/** The studio of an embedded machine, at its door. What answers is loaded with the first request. */
export class StudioDoor {
  readonly #dir: string
  readonly #log: (error: unknown) => void
  readonly #machine: StudioMachine
  #studio: Promise<Studio> | undefined
  #isClosed = false

  constructor(dir: string, log: (error: unknown) => void, machine: StudioMachine) {
    this.#dir = dir
    this.#log = log
    this.#machine = machine
  }

  /** @param path without its query */
  async answer(path: string, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.#studio ??= openStudio({
      machine: this.#machine,
      place: this.#dir,
      token: () => readStudioToken(this.#dir),
      log: this.#log,
    })
    const studio = await this.#studio
    if (this.#isClosed) studio.close()
    await studio.answer(path, incoming, outgoing)
  }

  /** Ends the connections that are told what happens. */
  close(): void {
    this.#isClosed = true
    void this.#studio?.then((studio) => studio.close())
  }
}

async function openStudio(deps: Omit<StudioDeps, 'now'>): Promise<Studio> {
  const { Studio } = await import('../studio/studio.ts')
  return new Studio({ ...deps, now: Date.now })
}

/** Serves the studio alone, on a port of this host. Port 0 takes a free one. @throws OverpoolError PORT_IN_USE, ACCESS_DENIED */
export async function serveStudio(deps: Omit<StudioDeps, 'now'>, port: number): Promise<{ url: string; close: () => Promise<void> }> {
  const host = '127.0.0.1'
  const studio = await openStudio(deps)
  const server = createServer((incoming, outgoing) => {
    const [path = ''] = (incoming.url ?? '').split('?', 1)
    if (isForStudio(path)) void studio.answer(path, incoming, outgoing)
    else outgoing.writeHead(404).end()
  })
  server.timeout = 70_000
  boundConnections(server)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(cause, port, host)))
    server.listen(port, host, resolve)
  })
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        studio.close()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
