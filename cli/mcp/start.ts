import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { checkLimits } from '../../client/kept-budget.ts'
import { folderLayout } from '../../local/folder.ts'
import { messageOf, OverpoolError } from '../../shared/errors.ts'
import type { CommandContext } from '../commands.ts'
import { warn } from './answer.ts'
import { McpDoor, type McpSettings } from './door.ts'
import { listenMcp } from './http.ts'
import { serversOf } from './server.ts'

export interface McpFlags {
  /** the port; true: any free one */
  http?: number | true
  /** a file that holds the token, or will */
  token?: string
  readOnly?: boolean
  perCall?: number
  perDay?: number
  ask?: number
  budget?: string
  wallet: string
  network: McpSettings['network']
  payee?: string[]
}

const TOKEN_BYTES = 24
const MIN_TOKEN = 16

/** Serves the machine to an agent, over standard input and output, or over HTTP, until the agent goes, or the signal is aborted. */
export async function serveMcp(flags: McpFlags, { where, out }: CommandContext, signal: AbortSignal): Promise<void> {
  if (flags.http === undefined && flags.token !== undefined)
    throw new OverpoolError('BAD_ARGUMENT', '--token needs --http: over standard input no token is needed')
  const door = new McpDoor(settingsOf(flags, where))
  try {
    await (flags.http === undefined ? overStdio(door, signal) : overHttp(door, flags, out, signal))
  } finally {
    await door.close()
  }
}

async function overStdio(door: McpDoor, signal: AbortSignal): Promise<void> {
  const stdio = serveStdio(serversOf(door), { onerror: warn })
  await Promise.race([aborted(signal), once(process.stdin, 'close'), once(process.stdin, 'end')])
  await stdio.close()
}

async function overHttp(
  door: McpDoor,
  { http: port, token: file }: McpFlags,
  out: CommandContext['out'],
  signal: AbortSignal,
): Promise<void> {
  const token = file === undefined ? newToken() : tokenIn(file)
  const http = await listenMcp(serversOf(door), typeof port === 'number' ? port : 0, token)
  out.show(
    { url: http.url, token },
    `MCP is served at ${http.url}\nIts clients send the header  Authorization: Bearer ${token}\nWho has the token can do all that its tools do. Ctrl-C stops it.`,
  )
  await aborted(signal)
  await http.close()
}

function settingsOf(
  { perCall, perDay, ask = 0, budget, readOnly = false, wallet, network, payee }: McpFlags,
  where: McpSettings['where'],
): McpSettings {
  const limits = checkLimits({ ...(perCall !== undefined && { perCall }), ...(perDay !== undefined && { perDay }) })
  const place = URL.parse(wallet)
  if (place?.protocol !== 'http:' && place?.protocol !== 'https:')
    throw new OverpoolError('BAD_ARGUMENT', '--wallet must be the URL of a wallet, such as http://127.0.0.1:3321')
  const file = budget ?? (where.stack === undefined ? folderLayout(where.dir).budget : undefined)
  return {
    where,
    readOnly,
    limits,
    askUpTo: ask,
    wallet,
    network,
    ...(file !== undefined && { budget: file }),
    ...(payee && { payees: payee }),
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort')
}

function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url')
}

/** The token in a file, which is made if it is not there. */
function tokenIn(file: string): string {
  try {
    if (!existsSync(file)) writeFileSync(file, `${newToken()}\n`, { mode: 0o600, flag: 'wx' })
    const token = readFileSync(file, 'utf8').trim()
    if (token.length >= MIN_TOKEN && /^[\x21-\x7e]+$/.test(token)) return token
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `the token cannot be stored in ${file}: ${messageOf(cause)}`, { cause })
  }
  throw new OverpoolError(
    'BAD_ARGUMENT',
    `${file} must hold a token of at least ${MIN_TOKEN} letters, digits and signs. Remove the file, and a new token is made`,
  )
}
