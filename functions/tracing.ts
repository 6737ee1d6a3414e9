import type { Tracer } from '@aws-lambda-powertools/tracer'

/** What a function tells X-Ray of each call: how long it and each of its requests took, and what failed. */
export interface Tracing {
  /** A client of AWS whose requests are told. */
  client: Tracer['captureAWSv3Client']
  /** A function's handler, whose calls are told. */
  handler: <Args extends unknown[], Answer>(answer: (...args: Args) => Promise<Answer>) => (...args: Args) => Promise<Answer>
}

const untraced: Tracing = { client: (client) => client, handler: (answer) => answer }

/** Loads what traces need only where they are wanted (`aws.traces`): a payment would wait for it. Requests that the user's handler makes are told as well. */
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
