import { Hono } from 'hono'
import { getConnInfo } from 'hono/aws-lambda'
import { tooLarge } from './body.ts'
import { answerAtDoor, type DoorDeps } from './door.ts'
import { Quotas } from './quotas.ts'

export interface PaymentsDeps extends Omit<DoorDeps, 'quotas'> {
  /** longest message, bytes */
  maxBytes: number
}

/** The HTTP door for the Lambda behind the function URL. Each instance of the function counts the quotas for itself: a count in common would be a request more for each payment. */
export function paymentsApp(deps: PaymentsDeps): Hono {
  const app = new Hono()
  const door: DoorDeps = { ...deps, quotas: new Quotas() }
  app.all('*', async (c) => {
    const { method, path, raw } = c.req
    const body = async () => {
      const bytes = new Uint8Array(await raw.arrayBuffer())
      if (bytes.length > deps.maxBytes) throw tooLarge(deps.maxBytes)
      return bytes
    }
    const header = (name: string) => c.req.header(name)
    const { address } = (c.env as { requestContext?: object } | undefined)?.requestContext ? getConnInfo(c).remote : {}
    const { status, headers, body: said } = await answerAtDoor({ method, path, query: queryOf(c.req.url), header, address, body }, door)
    return new Response(method === 'HEAD' ? null : said, { status, headers })
  })
  return app
}

function queryOf(url: string): string {
  const at = url.indexOf('?')
  return at < 0 ? '' : url.slice(at + 1)
}
