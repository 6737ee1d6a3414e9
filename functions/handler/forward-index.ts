import config from '#config'
import { Bucket } from '../../shared/aws/bucket.ts'
import { AwsClients } from '../../shared/aws/clients.ts'
import { AwsQueues } from '../../shared/aws/queues.ts'
import { readSecret } from '../../shared/aws/secrets.ts'
import { openStores } from '../../shared/aws/stores.ts'
import { awsSecrets } from '../../shared/broadcast/secret.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkPool, checkSettings } from '../../shared/config/config.ts'
import { readEnv } from '../../shared/config/env.ts'
import { planForwards } from '../../shared/config/handlers.ts'
import { atFirstUse } from '../../shared/first-use.ts'
import { findPool } from '../../shared/machine/find-pool.ts'
import { bindFunctions } from '../../shared/machine/handlers.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import { Telemetry } from '../telemetry.ts'
import { tracing } from '../tracing.ts'
import { forwardFunctions } from './forward.ts'
import { handlerFunction } from './function.ts'
import type { BellsEvent, BellsResponse } from './lambda.ts'
import { measured, reportTo } from './measured.ts'

// The Lambda of one forward: it answers the bells of its queue, and posts each entry to the program that the config names.
const env = readEnv('forward')
const service = `handler-${env.HANDLER}`
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service })
const traces = await tracing(service, env.TRACES !== undefined)
const clients = new AwsClients({ endpoint: env.AWS_ENDPOINT_URL, traced: traces.client })
const bucket = new Bucket(clients, env.BUCKET)
const stores = openStores(clients, env.TABLE, bucket)
const queues = new AwsQueues(clients, bucket)
const secretOf = awsSecrets((id, what) => readSecret(clients, id, what))

const own = new Map(Object.entries(config.pools).map(([path, pool]) => [path, checkPool(pool, `pools.${path}`)]))
const defaults = checkSettings({}, '')
const planned = planForwards(config, []).find(({ name }) => name === env.HANDLER)!

// A secret that is missing fails the call, and the bells come again: it can be mended while the function runs.
const answering = atFirstUse(async () => {
  const secret = await secretOf(planned.forward.secret, `handlers.${planned.name}.secret`)
  const functions = forwardFunctions(planned, secret!, systemClock)
  return handlerFunction({
    handler: env.HANDLER,
    queue: queues.open(env.BELLS_URL),
    stores: config.bitcoin ? stores : { blocks: stores.blocks, progress: stores.progress },
    pools: { control: (path) => findPool(stores.control, path) },
    settings: (path) => own.get(path) ?? defaults,
    clock: systemClock,
    functions: measured(bindFunctions({ functions }, {} as Pools), telemetry), // it posts nothing into a pool
    report: (said) => reportTo(telemetry, said),
    failed: (error) => telemetry.log.error('bells could not be answered', error as Error),
  })
})

export const handler = traces.handler(
  async (event: BellsEvent, context: { getRemainingTimeInMillis: () => number }): Promise<BellsResponse> => {
    const answer = await answering()
    const answered = await answer(event, () => context.getRemainingTimeInMillis())
    telemetry.flush()
    return answered
  },
)
