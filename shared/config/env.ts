import { OverpoolError } from '../errors.ts'

/** The environment variables of each part, required and optional. Nothing else reads `process.env`. */
export const ENV = {
  /**
   * the HTTP door; TABLE is given where a pool has a filter or a price, where services call back with the tokens of CALLBACKS_ARN, a secret, or where pools ask for payments: the keys of
   * `merchantData` are in the secret INVOICE_KEYS_ARN; FOLLOW_AT is where pools can be followed; PAY_SECRET_ARN is the secret of which the keys are made that payments of HTTP 402 and paymail go to; TRACES turns X-Ray on
   */
  payments: {
    required: ['INGRESS_URLS', 'BUCKET', 'NAMESPACE'],
    optional: ['TABLE', 'FOLLOW_AT', 'CALLBACKS_ARN', 'INVOICE_KEYS_ARN', 'PAY_SECRET_ARN', 'TRACES', 'AWS_ENDPOINT_URL'],
  },
  /** the runner of one handler; DOOR_URL is where its invoices are paid, given where pools ask for payments */
  handler: {
    required: ['HANDLER', 'BELLS_URL', 'TABLE', 'BUCKET', 'INGRESS_URLS', 'NAMESPACE'],
    optional: ['DOOR_URL', 'TRACES', 'AWS_ENDPOINT_URL'],
  },
  /** the runner of a handler that posts entries to a program on the network */
  forward: {
    required: ['HANDLER', 'BELLS_URL', 'TABLE', 'BUCKET', 'NAMESPACE'],
    optional: ['TRACES', 'AWS_ENDPOINT_URL'],
  },
  /** sends the events of pools to those who follow them */
  events: {
    required: ['TABLE', 'BUCKET', 'NAMESPACE'],
    optional: ['TRACES', 'AWS_ENDPOINT_URL'],
  },
  /** the built-in handler that hands transactions to the network; services call back at DOOR_URL */
  broadcaster: {
    required: ['BELLS_URL', 'TABLE', 'BUCKET', 'INGRESS_URLS', 'NAMESPACE', 'CALLBACKS_ARN', 'DOOR_URL'],
    optional: ['TRACES', 'AWS_ENDPOINT_URL'],
  },
  /**
   * SEED_ARN names the secret with the seed, which is read at the start; MACHINE is a MachinePlan; LEASE_MS (20,000): after this time another task
   * replaces one that has died; CALLBACKS_ARN names the secret of the tokens of callbacks, where the machine takes part in Bitcoin
   */
  sidecar: {
    required: ['TABLE', 'BUCKET', 'INGRESS_URL', 'SHARD', 'SHARDS', 'SEED_ARN', 'MACHINE'],
    optional: ['CALLBACKS_ARN', 'WORK_DIR', 'LEASE_MS', 'AWS_ENDPOINT_URL'],
  },
  /** the container's health check */
  health: { required: [], optional: ['WORK_DIR'] },
  /** a program that reaches a machine on AWS from outside; the SDK finds region and credentials */
  caller: { required: [], optional: ['AWS_ENDPOINT_URL', 'AWS_PROFILE'] },
  local: { required: [], optional: ['PORT', 'HOST', 'OVERPOOL_DIR'] },
} as const satisfies Record<string, { required: readonly string[]; optional: readonly string[] }>

export type EnvOf<Part extends keyof typeof ENV> = Record<(typeof ENV)[Part]['required'][number], string> &
  Partial<Record<(typeof ENV)[Part]['optional'][number], string>>

/** The environment of a part, or BAD_CONFIG with all that is missing. */
export function readEnv<Part extends keyof typeof ENV>(part: Part, from: NodeJS.ProcessEnv = process.env): EnvOf<Part> {
  const { required, optional } = ENV[part] as { required: readonly string[]; optional: readonly string[] }
  const missing = required.filter((name) => !from[name])
  if (missing.length) throw new OverpoolError('BAD_CONFIG', `the environment lacks ${missing.join(', ')}`)
  const present = [...required, ...optional].filter((name) => from[name])
  return Object.fromEntries(present.map((name) => [name, from[name]])) as EnvOf<Part>
}
