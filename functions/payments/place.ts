/** A host and perhaps a port. */
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i

/**
 * Where this machine is reached, the beginning of URLs that lead here: as the config says, else as the client sees it. `host` is the name to which the request was sent, '' if it is
 * none.
 */
export function placeOf(header: (name: string) => string | undefined, configured?: string): { url: string; host: string } {
  const given = header('host') ?? ''
  const [all = '<host>', host = ''] = (URL.canParse(`http://${given}`) && HOST.exec(given)) || []
  // Proxies put their own word first, or behind a comma.
  const isSecure = header('x-forwarded-proto')?.split(',', 1)[0]?.trim() === 'https'
  return { url: configured ?? `${isSecure ? 'https' : 'http'}://${all}`, host }
}
