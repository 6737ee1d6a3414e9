import { isForwarded, isHere, isLoopback } from '../functions/payments/loopback.ts'
import { isSameText } from '../shared/same-text.ts'

/** A header that the page sends with each call that changes something. No form and no link of another page can send it. */
export const WRITES_HEADER = 'x-overpool-studio'

/** The parts of a request that say whether it may reach the studio. */
export interface Knock {
  method: string
  /** of the other end of the connection */
  address: string | undefined
  /** @param name in small letters */
  header: (name: string) => string | undefined
}

export interface Refusal {
  status: 400 | 401 | 403
  code: string
  message: string
}

/** A name or an address, and perhaps a port. */
const HOST = /^([a-z\d.-]+|\[[\da-f:]+\])(:\d{1,5})?$/i

/**
 * Whether a request may have anything of the studio: it comes from a program of this host, under a name that is always this host, and from no other page.
 * - A page of the web whose name was made to lead here (DNS rebinding) has its own name in `Host`.
 * - A page of another origin, also one on another port of this host, has that in `Origin` or in `Sec-Fetch-Site`.
 * @returns undefined if it may
 */
export function refusalOf({ address, header }: Knock): Refusal | undefined {
  const host = header('host') ?? ''
  const name = HOST.exec(host)?.[1]
  if (!isHere(address)) return forbidden('NOT_LOOPBACK', 'the studio answers programs of this computer alone')
  if (isForwarded(header))
    return forbidden(
      'BEHIND_PROXY',
      'the studio answers nobody behind a proxy: open it on the computer where the machine runs, or through an SSH tunnel',
    )
  if (name === undefined || !isLoopback(name.toLowerCase()))
    return forbidden('WRONG_HOST', 'the studio is at 127.0.0.1 or localhost, and answers under no other name')
  const origin = header('origin')
  if (origin !== undefined && origin !== `http://${host}`) return forbidden('WRONG_ORIGIN', 'the studio answers its own page alone')
  const site = header('sec-fetch-site')
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    return forbidden('WRONG_ORIGIN', 'the studio answers its own page alone')
  return undefined
}

/** Whether a request that may reach the studio may also see data, or change something. @returns undefined if it may */
export function refusalOfCall({ method, header }: Knock, token: string | undefined): Refusal | undefined {
  const given = /^Bearer (\S{1,200})$/.exec(header('authorization') ?? '')?.[1]
  if (token === undefined || given === undefined || !isSameText(given, token))
    return {
      status: 401,
      code: 'WRONG_TOKEN',
      message: 'the studio needs its token: open the address that `overpool start` and `overpool studio` print',
    }
  if (method === 'GET' || method === 'HEAD') return undefined
  if (header(WRITES_HEADER) === undefined || !(header('content-type') ?? '').startsWith('application/json'))
    return { status: 400, code: 'NOT_OUR_PAGE', message: `a call that changes something is JSON, and has the header ${WRITES_HEADER}` }
  return undefined
}

function forbidden(code: string, message: string): Refusal {
  return { status: 403, code, message }
}
