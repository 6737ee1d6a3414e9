import type { Clock } from '../../shared/clock.ts'
import type { PlannedForward } from '../../shared/config/handlers.ts'
import { OverpoolError, reasonOf } from '../../shared/errors.ts'
import { askHttp, type HttpAnswer, retryAfterOf } from '../../shared/http.ts'
import type { LedgerEvent } from '../../shared/ledger/event.ts'
import { asHex } from '../../shared/ledger/values.ts'
import type { HandlerFunctions } from '../../shared/machine/handlers.ts'
import { inLine } from '../../shared/printed.ts'
import { signer } from './webhook.ts'

/** Bytes of an answer: nobody reads more of it than the beginning, for an error. */
const MAX_ANSWER = 1024 * 1024
/** Characters of an answer that an error shows. */
const MAX_SHOWN = 200
/** Answers that say that this entry will never be taken: it is too large, or not what the program works on. A wrong signature is 400 or 401 with many programs, and may be mended. */
const NEVER: ReadonlySet<number> = new Set([413, 414, 415, 422])
const GONE = 410

/**
 * The functions of a handler that posts each entry to a program on the network, signed as Standard Webhooks has it. The runner calls them in order, again after a failure, and gives an
 * entry up as it does with any handler.
 * @param secret see `ForwardConfig`
 * @throws OverpoolError BAD_CONFIG: the secret has another form
 */
export function forwardFunctions({ name, forward }: PlannedForward, secret: string, clock: Pick<Clock, 'now'>): HandlerFunctions {
  const { forward: url, kinds, timeoutMs } = forward
  const sign = signer(secret, `handlers.${name}.secret`)
  const target = `the program of handlers.${name}, at ${new URL(url).host},`
  const post = async (event: LedgerEvent): Promise<void> => {
    const id = `${event.key}_${event.seq}`
    const body = JSON.stringify({ type: event.kind, timestamp: new Date(event.at).toISOString(), data: event }, asHex)
    const headers = { 'content-type': 'application/json', 'user-agent': 'overpool-cloud', ...sign(id, clock.now(), body) }
    let answer: HttpAnswer
    try {
      answer = await askHttp(target, url, { method: 'POST', headers, body, timeoutMs, maxBytes: MAX_ANSWER })
    } catch (cause) {
      throw new OverpoolError('FORWARD_FAILED', reasonOf(cause), { cause, retryable: true })
    }
    if (answer.status < 200 || answer.status > 299) throw refusalOf(target, answer)
  }
  const functions: Record<string, (event: LedgerEvent) => unknown> = {}
  for (const kind of kinds) functions[kind] = post
  // `onInvoice` gets the payments of invoices as well. Where transactions are forwarded, they have been posted already.
  if (functions.tx && functions.invoice) functions.invoice = (event) => (event.kind === 'invoice' ? post(event) : undefined)
  return functions as HandlerFunctions
}

function refusalOf(target: string, { status, headers, body }: HttpAnswer): OverpoolError {
  if (status >= 300 && status < 400)
    return new OverpoolError(
      'FORWARD_GONE',
      `${target} answers with a redirect (${status}), which is not followed: set \`forward\` to the address that it leads to`,
    )
  if (status === GONE) return new OverpoolError('FORWARD_GONE', `${target} answers 410: it is gone for good`)
  const said = inLine(
    body
      .toString('utf8', 0, 4 * MAX_SHOWN)
      .slice(0, MAX_SHOWN)
      .trim(),
  )
  const retryAfterS = retryAfterOf(headers)
  return new OverpoolError('FORWARD_FAILED', `${target} answers ${status}${said ? `: ${said}` : ''}`, {
    retryable: !NEVER.has(status),
    ...(retryAfterS !== undefined && { retryAfterS }),
  })
}
