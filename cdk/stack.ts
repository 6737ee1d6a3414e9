import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { askingIn } from '../shared/config/asking.ts'
import { asksForPayments, doorsOf } from '../shared/config/config.ts'
import { Alarms } from './alarms.ts'
import { Bitcoin } from './bitcoin.ts'
import { Broadcaster } from './broadcaster.ts'
import { Domain } from './domain.ts'
import { Events } from './events.ts'
import { Forward } from './forward.ts'
import { Handler } from './handlers.ts'
import { Ingress } from './ingress.ts'
import { invoiceKeys } from './invoice-keys.ts'
import { Ledger } from './ledger.ts'
import { paySecretOf } from './pay-secret.ts'
import { Payments } from './payments.ts'
import type { Program } from './read.ts'
import { Sidecars } from './sidecar.ts'

export interface OverpoolStackProps extends StackProps {
  program: Program
  /** for an emulator: no image is built, no task is run, and there are no alarms, since the emulators implement them only in part */
  local?: boolean
}

/** A machine on AWS: all that its config describes. Stages share nothing. */
export class OverpoolStack extends Stack {
  readonly payments: Payments
  /** by name: grant a handler's `function` what it needs besides, such as a table of its own */
  readonly handlers: Record<string, Handler>
  /** by name: what posts entries to programs of yours */
  readonly forwards: Record<string, Forward>
  /** what sends the events of pools; undefined if none can be followed. Grant its `function` what your `events` functions need */
  readonly events: Events | undefined
  /** the same for the built-in broadcaster, whose function runs your `commit` functions; undefined if there is nobody to broadcast to */
  readonly broadcaster: Broadcaster | undefined

  constructor(scope: Construct, id: string, { program, local = false, ...props }: OverpoolStackProps) {
    super(scope, id, { description: 'Overpool: an append-only ledger of Bitcoin transactions that fires your handler', ...props })
    const { config } = program
    const settings = config.aws ?? {}
    const { shards = 1, retain = true, traces = false, reservedConcurrency } = settings
    const namespace = this.stackName

    const asks = asksForPayments(config)
    const ledger = new Ledger(this, { retain, adopted: settings.ledger })
    const ingress = new Ingress(this, { shards, retain })
    const handlers = program.handlers.map((code) => new Handler(this, { code, ledger, ingress, namespace, traces, asks }))
    const statuses = config.bitcoin !== undefined
    const forwards = program.forwards.map((code) => new Forward(this, { code, ledger, namespace, traces, statuses }))
    const called = [...handlers, ...forwards]
    const { followers } = settings
    const events =
      program.events && followers !== undefined
        ? new Events(this, { bundle: program.events, ledger, namespace, followers, traces })
        : undefined
    const bitcoin = config.bitcoin && new Bitcoin(this, { bitcoin: config.bitcoin })
    const broadcaster =
      bitcoin && program.broadcaster && new Broadcaster(this, { code: program.broadcaster, bitcoin, ledger, ingress, namespace, traces })
    const sidecars = new Sidecars(this, { config, settings, shards, ledger, ingress, handlers: called, bitcoin, broadcaster, local })
    const filters = Object.values(config.pools).some(({ filter }) => filter)
    const prices = Object.values(config.pools).some(({ price }) => price !== undefined)
    const isPaid = prices || Object.values(config.pools).some(({ paymail }) => paymail !== undefined)
    const paySecret = isPaid ? paySecretOf(this, { adopted: settings.ledger?.paySecret, retain }) : undefined
    const payments = new Payments(this, {
      bundle: program.payments,
      ledger,
      ingress,
      filters,
      prices,
      callbacks: broadcaster && bitcoin?.callbacks,
      invoiceKeys: asks ? invoiceKeys(this) : undefined,
      paySecret,
      followAt: events?.url.url,
      namespace,
      reservedConcurrency,
      traces,
    })
    // The sidecar is deployed before whoever posts, so that a post into a new pool finds it running.
    for (const { function: poster } of [payments, ...handlers, ...(broadcaster ? [broadcaster] : [])])
      poster.node.addDependency(...sidecars.services)
    this.handlers = Object.fromEntries(handlers.map((handler) => [handler.name, handler]))
    this.forwards = Object.fromEntries(forwards.map((forward) => [forward.name, forward]))
    this.events = events
    this.broadcaster = broadcaster
    this.payments = payments
    if (!local) new Alarms(this, { config, settings, namespace, ledger, ingress, payments, handlers: called, broadcaster, sidecars })

    const { domain, throttle } = settings
    const door = domain && new Domain(this, { domain, throttle, function: payments.function })
    broadcaster?.callBackAt(config.bitcoin!.callbacks ?? door?.url ?? payments.url.url)
    const asksAt = config.url ?? door?.url ?? payments.url.url
    if (asks) for (const handler of handlers) handler.askAt(asksAt)
    this.#output('Endpoint', door?.url ?? payments.url.url, 'where wallets post to: this and the name of a pool')
    if (door) this.#output('FunctionUrl', payments.url.url, 'the same, without the domain')
    if (door && !domain?.zone) this.#output('DomainTarget', door.target, `what ${domain!.name} has to point to`)
    if (events) this.#output('FollowAt', events.url.url, 'where pools are followed: this, the name of a pool, and /events')
    for (const [path, name] of outputNames('Pool', doorsOf(config).slice(0, MAX_POOL_OUTPUTS)))
      this.#output(name, `${door?.url ?? payments.url.url}${path}`)
    // The library and the command line find a machine by these outputs.
    this.#output('Table', ledger.table.tableName)
    this.#output('Bucket', ledger.bucket.bucketName)
    this.#output('IngressUrls', ingress.urls)
    this.#output('Seed', ledger.seed.secretArn)
    if (paySecret) this.#output('PaySecret', paySecret.secretArn)
    if (asks) this.#output('AsksAt', asksAt, 'where invoices are paid')
    if (asks && config.receive !== undefined) this.#output('Receive', config.receive, 'the xpub that money comes to')
    const { isTest, watches } = askingIn(config)
    if (asks && isTest) this.#output('IsTest', 'true', "the machine's chain is that of a test network")
    if (asks && watches) this.#output('Watches', 'true', 'the machine looks on the chain for what is sent to the addresses of invoices')
    const belled = new Map([...called, ...(broadcaster ? [broadcaster] : [])].map(({ name, bells }) => [name, bells.queueUrl]))
    for (const [name, output] of outputNames('Bells', [...belled.keys()])) this.#output(output, `${name} ${belled.get(name)}`)
    const logs = new Map([...handlers, ...(broadcaster ? [broadcaster] : [])].map(({ name, logs }) => [name, logs.logGroupName]))
    for (const [name, output] of outputNames('Runs', [...logs.keys()])) this.#output(output, `${name} ${logs.get(name)}`)
    if (local) {
      for (const [shard, environment] of sidecars.environments.entries()) this.#output(`Sidecar${shard}`, JSON.stringify(environment))
    }
  }

  #output(id: string, value: string, description?: string): void {
    new CfnOutput(this, id, { value, description })
  }
}

/** CloudFormation allows 200 outputs: further pools have no output, but the endpoint serves them. */
const MAX_POOL_OUTPUTS = 100

/** Gives each thing its own output: `a-b` and `a_b` would get the same id. */
function outputNames(kind: string, things: string[]): Map<string, string> {
  const names = new Map<string, string>()
  for (const thing of things) {
    const name = `${kind}${plain(thing)}`
    names.set(thing, [...names.values()].includes(name) ? `${name}${names.size}` : name)
  }
  return names
}

/** An id in a template: letters and digits only. */
function plain(name: string): string {
  return name.replace(/(^|[^a-z0-9]+)([a-z0-9])/g, (_, __, letter: string) => letter.toUpperCase()).replace(/[^A-Za-z0-9]/g, '')
}
