import config from '#config'
import * as user from '#handler'
import { Bucket } from '../../shared/aws/bucket.ts'
import { AwsClients } from '../../shared/aws/clients.ts'
import { AwsQueues } from '../../shared/aws/queues.ts'
import { openStores } from '../../shared/aws/stores.ts'
import { systemClock } from '../../shared/clock.ts'
import { askingIn } from '../../shared/config/asking.ts'
import { isBroadcasting } from '../../shared/config/bitcoin.ts'
import { type CheckedSettings, checkPool, checkSettings } from '../../shared/config/config.ts'
import { readEnv } from '../../shared/config/env.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { MachineControl } from '../../shared/machine/control.ts'
import { bindFunctions, handlerFunctions, handlerOptions } from '../../shared/machine/handlers.ts'
import { invoicingOnAws } from '../../shared/machine/invoicing-on-aws.ts'
import { poolsOf } from '../../shared/machine/machine.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { catchLateErrorsFirst } from '../late.ts'
import { Telemetry } from '../telemetry.ts'
import { tracing } from '../tracing.ts'
import { handlerFunction } from './function.ts'
import type { BellsEvent, BellsResponse } from './lambda.ts'
import { measured, reportTo } from './measured.ts'
import { keepConsoleLines } from './run-console.ts'
import { RunLog } from './run-log.ts'
import { watchForBlocking } from './watchdog.ts'

// The Lambda of one handler file: it answers the bells of its queue. The file itself and the config are in its bundle.
const env = readEnv('handler')
const service = `handler-${env.HANDLER}`
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service })
const traces = await tracing(service, env.TRACES !== undefined)
const runs = new RunLog(telemetry)
const clock = systemClock
const clients = new AwsClients({ endpoint: env.AWS_ENDPOINT_URL, traced: traces.client })
const bucket = new Bucket(clients, env.BUCKET)
const stores = openStores(clients, env.TABLE, bucket)
const queues = new AwsQueues(clients, bucket)
const ingress = queues.openIngress(env.INGRESS_URLS)
const queue = queues.open(env.BELLS_URL)

const own = new Map(Object.entries(config.pools).map(([path, pool]) => [path, checkPool(pool, `pools.${path}`)]))
const defaults = checkSettings({}, '')
const settings = (path: string): CheckedSettings => own.get(path) ?? defaults
const pools = new LedgerPools({
  stores,
  ingress,
  clock,
  settings,
  broadcasts: isBroadcasting(config.bitcoin),
  ...(env.DOOR_URL !== undefined && {
    invoicing: { invoicing: invoicingOnAws(askingIn(config), stores), base: () => (config.url ?? env.DOOR_URL)?.replace(/\/$/, '') },
  }),
  postFailed: (error) => reportTo(telemetry, { kind: 'post-failed', error }),
})
const functions = handlerFunctions(user, env.HANDLER)
catchLateErrorsFirst()
keepConsoleLines()

const control = new MachineControl({
  stores,
  clock,
  secretOf: async (path) => {
    throw new OverpoolError(
      'DEPLOYED',
      `the encryption key of "${path}" is derived from the machine's seed, which its functions cannot read: set \`publish\` in the config, then run \`overpool --stack … pub ${path}\` to print the key`,
    )
  },
})
const handlersPools = poolsOf({ pools, control })

const answer = handlerFunction({
  handler: env.HANDLER,
  queue,
  stores: config.bitcoin ? stores : { blocks: stores.blocks, progress: stores.progress, state: stores.state },
  pools,
  settings,
  clock,
  functions: measured(bindFunctions({ functions }, handlersPools), telemetry),
  options: handlerOptions(user, env.HANDLER),
  report: (said) => reportTo(telemetry, said),
  ran: (run) => runs.add(run),
  failed: (error) => telemetry.log.error('bells could not be answered', error as Error),
})

export const handler = traces.handler(
  async (event: BellsEvent, context: { getRemainingTimeInMillis: () => number }): Promise<BellsResponse> => {
    // A bell that comes again may have met a handler that blocks. The thread that names it would take its time from every cold start.
    if (event.Records.some(({ attributes }) => Number(attributes.ApproximateReceiveCount) > 1)) watchForBlocking('json')
    const answered = await answer(event, () => context.getRemainingTimeInMillis())
    runs.flush()
    telemetry.flush()
    return answered
  },
)
