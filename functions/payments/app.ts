import { Hono } from 'hono'
import { tooLarge } from './body.ts'
import { answerAtDoor, type DoorDeps } from './door.ts'

export interface PaymentsDeps extends DoorDeps {
  /** longest message, bytes */
  maxBytes: number
}

/** The HTTP door for the Lambda behind the function URL. */
export function paymentsApp(deps: PaymentsDeps): Hono {
  const app = new Hono()
  app.all('*', async (c) => {
    const { method, path, raw } = c.req
    const body = async () => {
      const bytes = new Uint8Array(await raw.arrayBuffer())
      if (bytes.length > deps.maxBytes) throw tooLarge(deps.maxBytes)
      return bytes
    }
    const header = (name: string) => c.req.header(name)
    const { status, headers, body: said } = await answerAtDoor({ method, path, header, body }, deps)
    return new Response(method === 'HEAD' ? null : said, { status, headers })
  })
  return app
}
