import { once } from 'node:events'
import { Agent, createServer, type IncomingHttpHeaders, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

/** How often a waiting receive looks for a message, ms. */
const LOOK_MS = 10

export type Service = 'dynamodb' | 'sqs' | 's3' | 'secretsmanager' | 'cloudformation' | 'logs'

// biome-ignore lint/suspicious/noExplicitAny: the JSON of any operation
type Json = any

/** A request to AWS. */
export interface AwsRequest {
  service: Service
  /** `PutItem`, `SendMessageBatch`, …; for S3 the HTTP method */
  operation: string
  /** the JSON of the request; S3 and CloudFormation have none */
  input: Json
  /** the path; for S3 `/bucket/key` */
  path: string
}

/** A request and its answer. */
export interface AwsCall extends AwsRequest {
  status: number
  output: Json
  /** the size of both bodies */
  bytes: number
}

/** The delay of a 'late' answer, ms. */
const LATE_MS = 150

/**
 * What goes wrong with a request. 'throttled', 'failed' (500) and 'unavailable' (503): the answer is this error, and nothing was done. 'refused': the connection
 * breaks before anything was done. 'lost': the connection breaks after all was done. 'unheard' and 'unanswered': the same, but the connection stays open without
 * an answer until the client gives up. 'partial': the first half of a batch was done. 'late': all was done, and the answer is late. 'denied' and 'expired': the
 * caller has no permission, or its credentials have expired.
 */
export type Fault =
  | 'throttled'
  | 'failed'
  | 'unavailable'
  | 'refused'
  | 'lost'
  | 'unheard'
  | 'unanswered'
  | 'partial'
  | 'late'
  | 'denied'
  | 'expired'

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

/** An HTTP proxy between the real SDK and the emulators: it reports requests, and makes some of them fail. */
export class AwsProxy {
  /** chooses the fault of a request */
  weather: (request: AwsRequest) => Fault | undefined = () => undefined
  /** called with each request that was carried out */
  listen: (call: AwsCall) => void = () => {}
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true })
  readonly #upstream: Record<Service, string>

  static async start(upstream: Record<Service, string>): Promise<AwsProxy> {
    const proxy = new AwsProxy(upstream)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** A proxy in front of one emulator of all services. */
  static before(endpoint: string): Promise<AwsProxy> {
    return AwsProxy.start({
      dynamodb: endpoint,
      sqs: endpoint,
      s3: endpoint,
      secretsmanager: endpoint,
      cloudformation: endpoint,
      logs: endpoint,
    })
  }

  private constructor(upstream: Record<Service, string>) {
    this.#upstream = upstream
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (incoming, response) => {
      this.#handle(incoming, response).catch((error) => response.destroy(error))
    })
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(incoming as AsyncIterable<Buffer>))
    const asked = requestOf(incoming, body)
    const fault = this.weather(asked)
    if (fault === 'unheard') return
    if (fault === 'refused') return void response.destroy()
    if (fault === 'late') await wait(LATE_MS)
    let answer: Answer
    if (isAnswer(fault)) answer = failure(asked, fault)
    else if (fault === 'partial' && asked.input) answer = await this.#half(asked, incoming)
    else answer = await this.#forward(asked, incoming, body, response)
    if (fault === 'unanswered') return
    if (fault === 'lost') return void response.destroy()
    const { 'content-length': _, 'transfer-encoding': __, connection: ___, ...headers } = answer.headers
    response.writeHead(answer.status, { ...headers, 'content-length': answer.body.length }).end(answer.body)
  }

  async #forward(asked: AwsRequest, incoming: IncomingMessage, body: Buffer, response?: ServerResponse): Promise<Answer> {
    const { service, input } = asked
    let sent = body
    if (service === 'dynamodb' && input.TableName !== undefined && asked.operation !== 'CreateTable') sent = withCapacity(input)
    if (input?.RequestItems) sent = withCapacity(input)
    const answer =
      asked.operation === 'ReceiveMessage' && response
        ? await this.#receive(input, incoming, response)
        : await this.#send(service, incoming, sent)
    const output: Json = IN_XML[service] ? undefined : JSON.parse(answer.body.toString() || '{}')
    this.listen({ ...asked, status: answer.status, output, bytes: body.length + answer.body.length })
    return answer
  }

  /** The proxy waits for a message itself: the emulator would deliver messages to a client that is gone, such as a killed process. */
  async #receive(input: Json, incoming: IncomingMessage, response: ServerResponse): Promise<Answer> {
    const end = performance.now() + (input.WaitTimeSeconds ?? 0) * 1000
    const sent = Buffer.from(JSON.stringify({ ...input, WaitTimeSeconds: 0 }))
    while (true) {
      const answer = await this.#send('sqs', incoming, sent)
      const found = answer.status !== 200 || answer.body.includes('ReceiptHandle')
      if (found || performance.now() >= end || response.destroyed) return answer
      await wait(LOOK_MS)
      if (response.destroyed) return answer
    }
  }

  /** Does the first half of a batch, and answers that the rest was not processed. */
  async #half(asked: AwsRequest, incoming: IncomingMessage): Promise<Answer> {
    const { input } = asked
    const [table] = Object.keys(input.RequestItems ?? {})
    const list: Json[] = table === undefined ? input.Entries : (input.RequestItems[table].Keys ?? input.RequestItems[table])
    if (!list) return failure(asked, 'failed')
    const half = Math.floor(list.length / 2)
    const [done, left] = [list.slice(0, half), list.slice(half)]
    const part = (some: Json[]) => {
      if (table === undefined) return { ...input, Entries: some }
      const items = input.RequestItems[table].Keys ? { ...input.RequestItems[table], Keys: some } : some
      return { ...input, RequestItems: { [table]: items } }
    }
    let output: Json = {}
    if (half) {
      const input = part(done)
      output = JSON.parse((await this.#forward({ ...asked, input }, incoming, Buffer.from(JSON.stringify(input)))).body.toString())
    }
    if (table === undefined) {
      const failed = left.map(({ Id }, i) => ({
        Id,
        ...(i % 2 ? { SenderFault: true, Code: 'ThrottlingException' } : { SenderFault: false, Code: 'InternalError' }),
      }))
      output.Failed = [...(output.Failed ?? []), ...failed]
    } else {
      output[asked.operation === 'BatchGetItem' ? 'UnprocessedKeys' : 'UnprocessedItems'] = part(left).RequestItems
    }
    return { status: 200, headers: { 'content-type': 'application/x-amz-json-1.0' }, body: Buffer.from(JSON.stringify(output)) }
  }

  #send(service: Service, { method, url, headers }: IncomingMessage, body: Buffer): Promise<Answer> {
    const { expect: _, 'transfer-encoding': __, connection: ___, ...rest } = headers
    return new Promise((resolve, reject) => {
      const outgoing = request(new URL(url!, this.#upstream[service]), {
        method,
        headers: { ...rest, 'content-length': body.length },
        agent: this.#agent,
      })
      outgoing.on('error', reject).on('response', async (answer) => {
        try {
          const chunks = await Array.fromAsync(answer as AsyncIterable<Buffer>)
          resolve({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(chunks) })
        } catch (error) {
          reject(error)
        }
      })
      outgoing.end(body)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
    this.#agent.destroy()
  }
}

function requestOf({ headers, method, url }: IncomingMessage, body: Buffer): AwsRequest {
  const [target, operation] = String(headers['x-amz-target'] ?? '').split('.')
  const path = decodeURIComponent(url!.split('?', 1)[0]!)
  if (operation) return { service: serviceOf(target!), operation, input: JSON.parse(body.toString()), path }
  const action = headers['content-type']?.includes('form-urlencoded') ? new URLSearchParams(body.toString()).get('Action') : null
  if (action) return { service: 'cloudformation', operation: action, input: undefined, path }
  return { service: 's3', operation: method!, input: undefined, path }
}

function serviceOf(target: string): Service {
  if (target === 'AmazonSQS') return 'sqs'
  if (target.startsWith('Logs_')) return 'logs'
  return target === 'secretsmanager' ? target : 'dynamodb'
}

/** The request, which also asks for its consumed capacity. */
function withCapacity(input: Json): Buffer {
  return Buffer.from(JSON.stringify({ ...input, ReturnConsumedCapacity: 'TOTAL' }))
}

/** The faults that AWS sends as an answer. */
const ANSWERS = ['throttled', 'failed', 'unavailable', 'denied', 'expired'] as const
type FaultyAnswer = (typeof ANSWERS)[number]

function isAnswer(fault: Fault | undefined): fault is FaultyAnswer {
  return (ANSWERS as readonly unknown[]).includes(fault)
}

function failure({ service, operation }: AwsRequest, fault: FaultyAnswer): Answer {
  const [status, code] = CODES[fault][service] ?? CODES[fault].others
  const message = fault === 'denied' ? `User: tester is not authorized to perform: ${operation}` : fault
  const error = `<Error><Code>${code}</Code><Message>${message}</Message></Error>`
  const xml = IN_XML[service]
  const body = xml ? xml(error) : JSON.stringify({ __type: `com.amazonaws#${code}`, message })
  const headers = { 'content-type': xml ? 'application/xml' : 'application/x-amz-json-1.0' }
  return { status, headers, body: Buffer.from(body) }
}

/** The services that do not use JSON, with the form of their errors. */
const IN_XML: Partial<Record<Service, (error: string) => string>> = {
  s3: (error) => `<?xml version="1.0"?>${error}`,
  cloudformation: (error) => `<ErrorResponse>${error}</ErrorResponse>`,
}

type Code = [status: number, code: string]
const CODES: Record<FaultyAnswer, Partial<Record<Service, Code>> & { others: Code }> = {
  throttled: {
    dynamodb: [400, 'ProvisionedThroughputExceededException'],
    s3: [503, 'SlowDown'],
    others: [400, 'ThrottlingException'],
  },
  failed: { others: [500, 'InternalServerError'] },
  unavailable: { others: [503, 'ServiceUnavailable'] },
  denied: { s3: [403, 'AccessDenied'], cloudformation: [403, 'AccessDenied'], others: [400, 'AccessDeniedException'] },
  expired: { s3: [400, 'ExpiredToken'], cloudformation: [403, 'ExpiredToken'], others: [400, 'ExpiredTokenException'] },
}
