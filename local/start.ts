import { existsSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import type { Refusal } from '../functions/payments/door.ts'
import { isLoopback } from '../functions/payments/loopback.ts'
import { checkConfig, checkPool, doorsOf, type Filter, type OverpoolConfig } from '../shared/config/config.ts'
import { type PlannedHandler, planHandlers, takes } from '../shared/config/handlers.ts'
import { load } from '../shared/config/load-user-file.ts'
import { messageOf, OverpoolError } from '../shared/errors.ts'
import type { LogFormat } from '../shared/log.ts'
import { codeContext } from '../shared/machine/context.ts'
import { type HandlerFunctions, handlerFunctions } from '../shared/machine/handlers.ts'
import { checkFileLimit } from './explain.ts'
import { folderLayout, makeFolder } from './folder.ts'
import { EmbeddedMachine, type Handler } from './machine.ts'
import type { Ports } from './ports.ts'
import type { MachineReport } from './report.ts'
import { FileWatch } from './watch.ts'

export interface StartOptions {
  /** the config's file */
  config: string
  dir: string
  port: number
  host: string
  /** called with news of the files: a reload, or a mistake in one */
  say: (level: 'info' | 'error', line: string) => void
  report: (report: MachineReport) => void
  refused?: (refusal: Refusal) => void
  /** of the line with which the process ends */
  logFormat?: LogFormat
  ports?: (dir: string) => Promise<Ports>
}

export interface Started {
  url: string
  machine: EmbeddedMachine
  /** the pools of the config */
  pools: StartedPool[]
  close: () => Promise<void>
}

interface StartedPool {
  path: string
  /** the file of its handler */
  handler?: string
  filter?: Filter
  /** what an entry costs, satoshis */
  price?: number
  /** whether its entries come from the chain */
  isGrid: boolean
  /** whether wallets post into it over HTTP */
  hasDoor: boolean
  /** whether any web page that is open on this computer may post into it */
  isOpen: boolean
}

interface LoadedHandler extends PlannedHandler {
  functions: HandlerFunctions
}

/** A loaded config with its handlers. It is applied only if all of it is right. */
interface Plan {
  config: OverpoolConfig
  handlers: Map<string, LoadedHandler>
}

/** Starts the machine of a config, and reloads the config and the handlers when they are saved. After a mistake in a file the old version goes on. */
export async function start(options: StartOptions): Promise<Started> {
  const { dir, port, host, report, refused, logFormat, ports } = options
  checkFileLimit()
  makeFolder(dir)
  const files = new Set<string>()
  const since = Date.now()
  const plan = await readPlan(options, files)
  const { pools: configured, network, bitcoin, url: reachedAt, receive } = plan.config
  const doors = new Set(doorsOf(plan.config))
  const settings = (path: string) => (Object.hasOwn(configured, path) ? checkPool(configured[path]!, `pools.${path}`) : undefined)
  const machine = await EmbeddedMachine.open({
    dir,
    network,
    bitcoin,
    reached: { url: reachedAt, receive },
    settings,
    report,
    refused,
    logFormat,
    ports,
  })
  const running = new RunningConfig(options, machine, plan, files)
  try {
    const { url } = await machine.listen([...doors], port, host)
    await running.begin(url, since)
    const pools = Object.entries(plan.config.pools).map(([path, { handler = plan.config.handler, filter, price, origins, grid }]) => ({
      path,
      handler,
      filter,
      price,
      isGrid: grid !== undefined,
      hasDoor: doors.has(path),
      isOpen: origins === undefined && doors.has(path) && isLoopback(host),
    }))
    return { url, machine, pools, close: () => running.close() }
  } catch (error) {
    await running.close()
    throw error
  }
}

/** A machine that is kept in line with its config and handler files. */
class RunningConfig {
  readonly #options: StartOptions
  readonly #machine: EmbeddedMachine
  readonly #handlers = new Map<string, LoadedHandler>()
  readonly #watch: FileWatch
  /** what is taken at a start only */
  readonly #fixed: string
  #plan: Plan
  /** the files of the running plan */
  #files: ReadonlySet<string>
  #url = ''
  #isClosing = false
  #reloading = Promise.resolve()

  constructor(options: StartOptions, machine: EmbeddedMachine, plan: Plan, files: ReadonlySet<string>) {
    this.#options = options
    this.#machine = machine
    this.#plan = plan
    this.#files = files
    this.#fixed = fixedOf(plan)
    this.#watch = new FileWatch({
      changed: () => (this.#reloading = this.#reloading.then(() => this.#reload())),
      failed: ({ message }) =>
        options.say(
          'error',
          `some files cannot be watched: start the machine again after you have saved one, or let the system watch more (on Linux: sysctl fs.inotify.max_user_watches): ${message}`,
        ),
    })
  }

  /** @param since when the files of the plan began to be read, ms since 1970 */
  async begin(url: string, since: number): Promise<void> {
    this.#url = url
    await this.#apply(this.#plan)
    this.#watch.watch(this.#files, since)
  }

  async #apply(plan: Plan): Promise<void> {
    await this.#applyPools(plan.config)
    await this.#applyHandlers(plan.handlers)
    await this.#machine.ringAgain()
    this.#plan = plan
  }

  async #applyPools(config: OverpoolConfig): Promise<void> {
    for (const [path, { handler: _, door: __, publish, ...settings }] of Object.entries(config.pools))
      await this.#machine.create(path, settings, publish)
    this.#machine.serveOnly(doorsOf(config))
    await this.#machine.syncSubscriptions(config)
  }

  /** Stops removed handlers, gives the others their new code, and starts new ones. */
  async #applyHandlers(planned: Map<string, LoadedHandler>): Promise<void> {
    for (const name of this.#handlers.keys()) {
      if (planned.has(name)) continue
      this.#handlers.delete(name)
      await this.#machine.unhandle(name)
    }
    for (const [name, loaded] of planned) {
      const working = this.#handlers.get(name)
      if (working) Object.assign(working, loaded)
      else {
        this.#handlers.set(name, loaded)
        await this.#machine.handle(handlerOf(loaded))
      }
    }
  }

  async #reload(): Promise<void> {
    const { say } = this.#options
    const files = new Set<string>()
    const since = Date.now()
    try {
      const plan = await readPlan(this.#options, files)
      if (fixedOf(plan) !== this.#fixed) say('info', 'the settings of `network` and `bitcoin` are taken at the next start')
      await this.#apply(plan)
      this.#files = files
      const urls = doorsOf(plan.config).map((path) => `${this.#url}/${path}`)
      say('info', `reloaded; payments are taken at ${urls.join(', ') || 'no pool'}`)
    } catch (error) {
      say('error', `not reloaded, the last good version goes on: ${messageOf(error)}`)
    }
    // After a mistake, the file that mends it may be one that the running plan does not have.
    if (!this.#isClosing) this.#watch.watch([...this.#files, ...files], since)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    this.#watch.close()
    await this.#reloading
    await this.#machine.close()
  }
}

function fixedOf({ config: { network, bitcoin } }: Plan): string {
  return JSON.stringify({ network, bitcoin })
}

function handlerOf(working: LoadedHandler): Handler {
  return {
    name: working.name,
    get functions() {
      return working.functions
    },
    takes: (pool) => takes(working, pool),
  }
}

/** Loads the config and every handler file that it names. @param files gets the files that they are made of, also if it fails */
async function readPlan({ config: file, dir, report }: StartOptions, files: Set<string>): Promise<Plan> {
  if (!existsSync(file)) {
    throw new OverpoolError(
      'BAD_CONFIG',
      `there is no ${relative('.', file) || file}; write one:\n\n  import { defineConfig } from 'overpool-cloud'\n  export default defineConfig({ handler: './handler.ts', pools: { mypool: {} } })`,
    )
  }
  const outDir = folderLayout(dir).handlers
  const saw = (path: string) => files.add(path)
  const loaded = (file: string) => {
    const name = relative('.', file)
    const threwLate = (error: unknown) => report({ kind: 'code-threw-late', code: name, error })
    return codeContext.run({ name, threwLate }, load, file, outDir, saw)
  }
  const config = checkConfig((await loaded(file)).default)
  const handlers = new Map<string, LoadedHandler>()
  for (const planned of planHandlers(config, dirname(file))) {
    const { file, named } = planned
    saw(file)
    if (!existsSync(file)) throw new OverpoolError('BAD_CONFIG', `the config names a handler ${named}, and there is no such file`)
    handlers.set(planned.name, { ...planned, functions: handlerFunctions(await loaded(file), named) })
  }
  return { config, handlers }
}
