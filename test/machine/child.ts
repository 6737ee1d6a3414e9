import { EmbeddedMachine } from '../../local/machine.ts'
import { type Ports, sqlitePorts } from '../../local/ports.ts'
import { lineOf } from '../../local/report.ts'
import type { NetworkSettings, PoolSettings } from '../../shared/config/config.ts'
import type { PublishOptions, SubscribeOptions } from '../../shared/machine/control.ts'
import { pause, redrive, unpause } from '../../shared/machine/progress.ts'
import { statusOf } from '../../shared/machine/status.ts'
import type { AwsPlace } from '../aws/clients.ts'
import type { AwsPortsOptions } from './aws-ports.ts'
import { bank } from './bank.ts'
import { withFilter } from './filters.ts'
import { FileRuns, handlerOf } from './handler.ts'

// A machine in a process of its own, so that it can be killed. It gets its calls over IPC from ./machine.ts.

export interface ChildOptions {
  dir: string
  side: 'sqlite' | 'aws'
  /** for side aws: the emulators, and the settings of the ports */
  aws?: AwsPlace & AwsPortsOptions
  pools: Record<string, PoolSettings>
  runsFile: string
  /** whether the bank's handler runs */
  bank?: boolean
  /** whether no handler `main` runs */
  idle?: boolean
  network?: NetworkSettings
}

export type Call = { id: number; method: string; args: unknown[] }
export type Answer = { id: number; value?: unknown; error?: { code?: string; message: string } }

const options = JSON.parse(process.argv[2]!) as ChildOptions
const reports: string[] = []
let ports: Ports
const machine = await EmbeddedMachine.open({
  dir: options.dir,
  network: options.network,
  async ports(dir) {
    ports = options.side === 'sqlite' ? await sqlitePorts(dir) : await (await import('./aws-ports.ts')).awsPorts(options.aws!, options.aws)
    return ports
  },
  report(report) {
    const line = lineOf(report)
    if (line !== undefined) reports.push(`${report.kind}: ${line}`)
  },
})

for (const [path, settings] of Object.entries(options.pools)) await machine.create(path, withFilter(settings))
const server = await machine.listen(Object.keys(options.pools), 0, '127.0.0.1')
if (!options.idle) await machine.handle({ name: 'main', functions: { tx: handlerOf(new FileRuns(options.runsFile)) }, takes: () => true })
if (options.bank) await machine.handle({ name: 'bank', functions: { tx: bank }, takes: () => true })

const methods: Record<string, (...args: never[]) => unknown> = {
  post: machine.pools.post.bind(machine.pools),
  get: machine.pools.get.bind(machine.pools),
  tail: machine.pools.tail.bind(machine.pools),
  prune: machine.pools.prune.bind(machine.pools),
  length: machine.pools.length.bind(machine.pools),
  read: (args: { path: string; from?: number; to?: number }) => Array.fromAsync(machine.pools.read(args)),
  trail: (args: { path: string; hash: string }) => Array.fromAsync(machine.pools.trail(args)),
  ancestors: machine.pools.ancestors.bind(machine.pools),
  pub: (path: string, args?: PublishOptions) => machine.control.publish(path, args),
  unpub: (path: string) => machine.control.unpublish(path),
  sub: (key: string, args?: SubscribeOptions) => machine.control.subscribe(key, args),
  unsub: (key: string) => machine.control.unsubscribe(key),
  announced: (path: string) => machine.announced(path),
  status: () => statusOf(machine.pools),
  reports: () => reports,
  ingress: () => ports.ingress.depth(),
  control: (path: string) => ports.stores.control.read(path),
  cursor: (path: string) => ports.stores.progress.readCursor('main', path),
  dead: (path: string) => ports.stores.progress.listDead('main', path),
  redrive: async (path: string, skip: boolean) =>
    redrive('main', path, { skip }, { stores: ports.stores, bells: await ports.bells('main'), clock: ports.clock }),
  pause: (path: string, reason: string) => pause('main', path, reason, { stores: ports.stores, clock: ports.clock }),
  unpause: async (path: string) => unpause('main', path, { stores: ports.stores, bells: await ports.bells('main'), clock: ports.clock }),
  state: async (handler: string, path: string) => (await machine.pools.state({ handler, path })).list({ limit: 1_000 }),
  rss: () => process.memoryUsage.rss() / 2 ** 20,
  close: () => machine.close(),
}

process.on('message', async ({ id, method, args }: Call) => {
  let answer: Answer
  try {
    answer = { id, value: JSON.parse(JSON.stringify((await methods[method]!(...(args as never[]))) ?? null)) }
  } catch (error) {
    answer = { id, error: { code: (error as { code?: string }).code, message: String(error) } }
  }
  process.send!(answer, () => {
    if (method === 'close') process.disconnect()
  })
})
process.send!({ id: 0, value: server.url } satisfies Answer)
