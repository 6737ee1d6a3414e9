import type { DoorRequest } from './http.ts'

/** Whether a host name, or an address that a server listens on, is this computer for its own programs alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Whether the other end of a connection is on this computer. An IPv6 socket shows an IPv4 address with a prefix. */
export function isHere(address = ''): boolean {
  return isLoopback(address.replace(/^::ffff:/, ''))
}

/** Headers of proxies: behind one, a stranger may ask. */
const FORWARDED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']

/** Whether a proxy has passed the request on. */
export function isForwarded(header: DoorRequest['header']): boolean {
  return FORWARDED.some((name) => header(name) !== undefined)
}

/**
 * Whether a program of this computer asks. A web page does not count, which any site may have opened in a browser here: it says its origin, or the name of a host that was
 * made to lead here (DNS rebinding).
 */
export function isFromHere({ header, address }: Pick<DoorRequest, 'header' | 'address'>): boolean {
  const host = URL.parse(`http://${header('host') ?? ''}`)?.hostname ?? ''
  const site = header('sec-fetch-site') ?? 'none'
  return (
    isHere(address) &&
    isLoopback(host) &&
    !isForwarded(header) &&
    header('origin') === undefined &&
    (site === 'none' || site === 'same-origin')
  )
}
