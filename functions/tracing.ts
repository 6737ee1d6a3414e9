import type { Tracer } from '@aws-lambda-powertools/tracer'

/** Traces a function's calls in X-Ray: how long the call and each of its requests took, and what failed. */
export interface Tracing {
  /** Wraps an AWS client so that its requests are traced. */
  client: Tracer['captureAWSv3Client']
  /** Wraps a function's handler so that its calls are traced. */
  handler: <Args extends unknown[], Answer>(answer: (...args: Args) => Promise<Answer>) => (...args: Args) => Promise<Answer>
}

const untraced: Tracing = { client: (client) => client, handler: (answer) => answer }

/** Loads the tracer only if traces are on (`aws.traces`), since a cold payment waits for it. Requests that the user's handler makes are traced as well. */
export async function tracing(service: string, wanted: boolean): Promise<Tracing> {
  if (!wanted) return untraced
  const { Tracer } = await import('@aws-lambda-powertools/tracer')
  const tracer = new Tracer({ serviceName: service })
  return { client: (client) => tracer.captureAWSv3Client(client), handler: (answer) => traced(tracer, `## ${service}`, answer) }
}

function traced<Args extends unknown[], Answer>(tracer: Tracer, name: string, answer: (...args: Args) => Promise<Answer>) {
  return async (...args: Args): Promise<Answer> => {
    const call = tracer.getSegment()
    const work = call?.addNewSubsegment(name)
    if (call === undefined || work === undefined) return answer(...args)
    tracer.setSegment(work)
    tracer.annotateColdStart()
    tracer.addServiceNameAnnotation()
    try {
      return await answer(...args)
    } catch (error) {
      tracer.addErrorAsMetadata(error as Error)
      throw error
    } finally {
      work.close()
      tracer.setSegment(call)
    }
  }
}
