import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { SQSClient } from '@aws-sdk/client-sqs'
import type { BellsEvent, BellsResponse } from '../../functions/handler/lambda.ts'
import { EventSource } from '../aws/event-source.ts'
import { functionUrlEvent } from '../door/function-url.ts'

// A function as Lambda runs it: a bundle of `cdk deploy` in a process of its own, behind a function URL, or called with the messages of a queue.

const [dir, environment, remaining, bells] = process.argv.slice(2)
Object.assign(process.env, JSON.parse(environment!))

/** A stream of Lambda's runtime, and the answer that it becomes. */
class ResponseStream extends PassThrough {
  readonly response: ServerResponse

  constructor(response: ServerResponse) {
    super()
    this.response = response
    // Lambda does not tell the function that the client has gone: what it writes is lost.
    response.once('close', () => this.unpipe().resume())
  }
}

type Answer = (event: unknown, ...more: unknown[]) => Promise<{ statusCode: number; headers: Record<string, string>; body: string }>
const streaming = new WeakSet<Answer>()
const awslambda = {
  streamifyResponse(answer: Answer) {
    streaming.add(answer)
    return answer
  },
  HttpResponseStream: {
    from(stream: ResponseStream, { statusCode, headers }: { statusCode: number; headers: Record<string, string> }) {
      stream.response.writeHead(statusCode, headers).flushHeaders()
      stream.pipe(stream.response)
      return stream
    },
  },
}
Object.assign(globalThis, { awslambda })
const { handler } = (await import(join(dir!, 'index.mjs'))) as { handler: Answer }

/** The context of a call, which has so much time. */
function context() {
  const ends = Date.now() + Number(remaining)
  return { getRemainingTimeInMillis: () => ends - Date.now() }
}

if (bells !== undefined) {
  const invoke = async (event: BellsEvent) => (await handler(event, context())) as unknown as BellsResponse
  new EventSource({ client: new SQSClient({}), url: bells, functions: 2, invoke }).start()
  process.send!('')
} else {
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    const event = functionUrlEvent(body || undefined, { method: request.method!, path: request.url!, headers })
    if (streaming.has(handler)) return void handler(event, new ResponseStream(response), context())
    const answered = await handler(event, context())
    response.writeHead(answered.statusCode, answered.headers).end(answered.body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.send!(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
}
process.on('disconnect', () => process.exit())
