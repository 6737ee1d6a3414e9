import config from '#config'
import { Bucket } from '../../shared/aws/bucket.ts'
import { AwsClients } from '../../shared/aws/clients.ts'
import { AwsQueues } from '../../shared/aws/queues.ts'
import { readSecret } from '../../shared/aws/secrets.ts'
import { openStores } from '../../shared/aws/stores.ts'
import { awsSecrets } from '../../shared/broadcast/secret.ts'
import { systemClock } from '../../shared/clock.ts'
import { readEnv } from '../../shared/config/env.ts'
import { BROADCASTER } from '../../shared/config/plan.ts'
import { atFirstUse } from '../../shared/first-use.ts'
import { catchLateErrorsFirst } from '../late.ts'
import { Telemetry } from '../telemetry.ts'
import { tracing } from '../tracing.ts'
import { broadcasterFunction } from './broadcaster-function.ts'
import type { BellsEvent, BellsResponse } from './lambda.ts'
import { measured, reportTo } from './measured.ts'
import { keepConsoleLines } from './run-console.ts'
import { RunLog } from './run-log.ts'
import { watchForBlocking } from './watchdog.ts'

// The Lambda of the built-in handler that hands transactions to the network. The config is in its bundle, with functions of the user's own in `bitcoin.broadcast` and `commit`.
const env = readEnv('broadcaster')
const service = `handler-${BROADCASTER}`
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service })
const traces = await tracing(service, env.TRACES !== undefined)
const runs = new RunLog(telemetry)
const clients = new AwsClients({ endpoint: env.AWS_ENDPOINT_URL, traced: traces.client })
const bucket = new Bucket(clients, env.BUCKET)
const queues = new AwsQueues(clients, bucket)
const read = (id: string, what: string) => readSecret(clients, id, what)
catchLateErrorsFirst()
keepConsoleLines()

// A secret that is missing fails the call, and the bells come again: it can be mended while the function runs.
const answering = atFirstUse(async () =>
  broadcasterFunction({
    config,
    queue: queues.open(env.BELLS_URL),
    ingress: queues.openIngress(env.INGRESS_URLS),
    stores: openStores(clients, env.TABLE, bucket),
    clock: systemClock,
    secretOf: awsSecrets(read),
    callbacks: { door: env.DOOR_URL, secret: await read(env.CALLBACKS_ARN, `the secret ${env.CALLBACKS_ARN}`) },
    measured: (functions) => measured(functions, telemetry),
    report: (said) => reportTo(telemetry, said),
    ran: (run) => runs.add(run),
    failed: (error) => telemetry.log.error('bells could not be answered', error as Error),
  }),
)

export const handler = traces.handler(
  async (event: BellsEvent, context: { getRemainingTimeInMillis: () => number }): Promise<BellsResponse> => {
    if (event.Records.some(({ attributes }) => Number(attributes.ApproximateReceiveCount) > 1)) watchForBlocking('json')
    const answer = await answering()
    const answered = await answer(event, () => context.getRemainingTimeInMillis())
    runs.flush()
    telemetry.flush()
    return answered
  },
)
