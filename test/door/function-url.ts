import type { handle } from 'hono/aws-lambda'

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
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: '',
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
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '203.0.113.7', userAgent: 'ElectrumSV/1.3.16' },
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
