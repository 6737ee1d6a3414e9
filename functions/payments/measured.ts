import type { handle } from 'hono/aws-lambda'
import type { Telemetry } from '../telemetry.ts'

type Handler = ReturnType<typeof handle>

/** Counts the posts that were acknowledged, and how long that took; refusals by their code. */
export function measured(answer: Handler, telemetry: Telemetry): Handler {
  return async (event, context) => {
    const began = performance.now()
    const answered = await answer(event, context)
    if (answered.statusCode === 402) telemetry.refused('PRICE_NOT_PAID')
    else if (answered.statusCode >= 400) telemetry.refused(codeOf(answered.body))
    else if (isPost(event) || isPaid(answered)) {
      telemetry.count('posts')
      telemetry.time('ackMs', performance.now() - began)
    }
    telemetry.flush()
    return answered
  }
}

/** Callbacks of services are no payments, nor is the question of a paymail wallet where it should pay to. */
function isPost({ requestContext }: Parameters<Handler>[0]): boolean {
  return (
    'http' in requestContext &&
    requestContext.http.method === 'POST' &&
    !/^\/_\/(arc$|paymail\/destination\/)/.test(requestContext.http.path)
  )
}

/** A payment of HTTP 402 comes with any request. */
function isPaid(answered: Awaited<ReturnType<Handler>>): boolean {
  return 'headers' in answered && answered.headers?.['x-bsv-payment-satoshis-paid'] !== undefined
}

/** A refusal has its code in the body; a failure of ours has none. */
function codeOf(body: string): string {
  return (JSON.parse(body) as { code?: string }).code ?? 'INTERNAL'
}
