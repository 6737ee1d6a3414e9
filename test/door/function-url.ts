import type { Hono } from 'hono'
import { handle } from 'hono/aws-lambda'
import type { Answer } from './ask.ts'

type Event = Parameters<ReturnType<typeof handle>>[0]

export interface FunctionUrlRequest {
  method?: string
  path?: string
  base64?: boolean
  headers?: Record<string, string>
}

/** What a function URL calls its function with (payload format 2.0). */
export function functionUrlEvent(
  body: string | undefined,
  { method = 'POST', path = '/mypool', base64 = false, headers = {} }: FunctionUrlRequest = {},
): Event {
  const host = 'abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws'
  const [rawPath, rawQueryString = ''] = path.split('?', 2)
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath,
    rawQueryString,
    headers: {
      host,
      accept: 'application/bitcoinsv-paymentack',
      'user-agent': 'ElectrumSV/1.3.16',
      'x-amzn-trace-id': 'Root=1-6b1f2c3d-0123456789abcdef01234567',
      'x-forwarded-for': '203.0.113.7',
      'x-forwarded-port': '443',
      'x-forwarded-proto': 'https',
      ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
      ...headers,
    },
    requestContext: {
      accountId: 'anonymous',
      apiId: 'abcdefghijklmnopqrstuvwxyz012345',
      domainName: host,
      domainPrefix: 'abcdefghijklmnopqrstuvwxyz012345',
      http: { method, path: rawPath, protocol: 'HTTP/1.1', sourceIp: '203.0.113.7', userAgent: 'ElectrumSV/1.3.16' },
      requestId: '0f0e0d0c-0b0a-0908-0706-050403020100',
      routeKey: '$default',
      stage: '$default',
      time: '24/Nov/2026:08:00:00 +0000',
      timeEpoch: 1_795_507_200_000,
      authentication: null,
      authorizer: null as never,
    },
    ...(body !== undefined && { body: base64 ? Buffer.from(body).toString('base64') : body }),
    isBase64Encoded: base64,
  }
  return event as unknown as Event
}

/** Sends one request through a function URL: its headers are in small letters, its body is base64 unless it is text, and the answer has no reason phrase. */
export async function askFunction(
  app: Hono,
  method: string,
  path: string,
  body: string | Uint8Array = '',
  headers: Record<string, string> = {},
): Promise<Answer> {
  const small = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const bytes = Buffer.from(body)
  const { body: _, isBase64Encoded: __, ...event } = functionUrlEvent(undefined, { method, path, headers: { ...NO_WALLET, ...small } })
  const base64 = !/^(text\/|application\/json)/.test(small['content-type'] ?? '')
  const sent = bytes.length > 0 && { body: bytes.toString(base64 ? 'base64' : 'utf8') }
  const answer = await handle(app)({ ...event, ...sent, isBase64Encoded: base64 && bytes.length > 0 } as unknown as Event)
  if (!('headers' in answer)) throw new Error('a function URL reads `headers`')
  const { statusCode: status, isBase64Encoded } = answer
  const text = isBase64Encoded ? Buffer.from(answer.body, 'base64').toString() : answer.body
  const said = answer.headers as Record<string, string>
  return { status, headers: said, text, body: text && said['content-type'] === 'application/json' ? JSON.parse(text) : {} }
}

/** The headers of `functionUrlEvent` that are a wallet's. */
const NO_WALLET = { accept: '', 'user-agent': '' }
