import type { handle } from 'hono/aws-lambda'
import type { Telemetry } from '../telemetry.ts'

type Handler = ReturnType<typeof handle>

/** Counts the posts that were acknowledged, and how long that took; refusals by their code. */
export function measured(answer: Handler, telemetry: Telemetry): Handler {
  return async (event, context) => {
    const began = performance.now()
    const answered = await answer(event, context)
    if (answered.statusCode >= 400) telemetry.refused(codeOf(answered.body))
    else if (methodOf(event) === 'POST') {
      telemetry.count('posts')
      telemetry.time('ackMs', performance.now() - began)
    }
    telemetry.flush()
    return answered
  }
}

function methodOf(event: Parameters<Handler>[0]): string | undefined {
  return 'http' in event.requestContext ? event.requestContext.http.method : undefined
}

/** A refusal has its code in the body; a failure of ours has none. */
function codeOf(body: string): string {
  return (JSON.parse(body) as { code?: string }).code ?? 'INTERNAL'
}
