import { existsSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import { checkConfig, type Filter, type OverpoolConfig } from '../shared/config/config.ts'
import { type PlannedHandler, planHandlers, takes } from '../shared/config/handlers.ts'
import { load } from '../shared/config/load.ts'
import { OverpoolError } from '../shared/errors.ts'
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
  ports?: (dir: string) => Promise<Ports>
}

export interface Started {
  url: string
  machine: EmbeddedMachine
  /** the pools of the config, each with its handler's file */
  pools: { path: string; handler?: string; filter?: Filter }[]
  close: () => Promise<void>
}

interface LoadedHandler extends PlannedHandler {
  functions: HandlerFunctions
}

/** A loaded config with its handlers. It is applied only if all of it is right. */
interface Plan {
  config: OverpoolConfig
  handlers: Map<string, LoadedHandler>
  files: string[]
}

/** Starts the machine of a config, and reloads the config and the handlers when they are saved. After a mistake in a file the old version goes on. */
export async function start(options: StartOptions): Promise<Started> {
  const { dir, port, host, report, ports } = options
  checkFileLimit()
  makeFolder(dir)
  const plan = await readPlan(options)
  const machine = await EmbeddedMachine.open({ dir, network: plan.config.network, report, ports })
  const running = new RunningConfig(options, machine, plan)
  try {
    const { url } = await machine.listen(Object.keys(plan.config.pools), port, host)
    await running.begin(url)
    const pools = Object.entries(plan.config.pools).map(([path, pool]) => ({
      path,
      handler: pool.handler ?? plan.config.handler,
      filter: pool.filter,
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
  readonly #network: string
  #plan: Plan
  #url = ''
  /** there is a mistake in a file */
  #isBroken = false
  #isClosing = false
  #reloading = Promise.resolve()

  constructor(options: StartOptions, machine: EmbeddedMachine, plan: Plan) {
    this.#options = options
    this.#machine = machine
    this.#plan = plan
    this.#network = networkOf(plan)
    // After a mistake, the file that mends it may be one that the running plan does not have.
    this.#watch = new FileWatch(
      (file) => this.#isBroken || this.#plan.files.includes(file),
      () => (this.#reloading = this.#reloading.then(() => this.#reload())),
    )
  }

  async begin(url: string): Promise<void> {
    this.#url = url
    await this.#apply(this.#plan)
    this.#watch.watch(this.#plan.files)
  }

  async #apply(plan: Plan): Promise<void> {
    await this.#applyPools(plan.config)
    await this.#applyHandlers(plan.handlers)
    await this.#machine.ringAgain()
    this.#plan = plan
  }

  async #applyPools(config: OverpoolConfig): Promise<void> {
    for (const [path, { handler: _, publish, ...settings }] of Object.entries(config.pools))
      await this.#machine.create(path, settings, publish)
    this.#machine.serveOnly(Object.keys(config.pools))
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
    try {
      const plan = await readPlan(this.#options)
      if (networkOf(plan) !== this.#network) say('info', 'the settings of the network are taken at the next start')
      await this.#apply(plan)
      this.#isBroken = false
      const urls = Object.keys(plan.config.pools).map((path) => `${this.#url}/${path}`)
      say('info', `reloaded; payments are taken at ${urls.join(', ') || 'no pool'}`)
    } catch (error) {
      this.#isBroken = true
      say('error', `not reloaded, the last good version goes on: ${error instanceof Error ? error.message : String(error)}`)
    }
    if (!this.#isClosing) this.#watch.watch(this.#plan.files)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    this.#watch.close()
    await this.#reloading
    await this.#machine.close()
  }
}

function networkOf({ config }: Plan): string {
  return JSON.stringify(config.network)
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

/** Loads the config and every handler file that it names. */
async function readPlan({ config: file, dir }: StartOptions): Promise<Plan> {
  if (!existsSync(file)) {
    throw new OverpoolError(
      'BAD_CONFIG',
      `there is no ${relative('.', file) || file}; write one:\n\n  import { defineConfig } from 'overpool-cloud'\n  export default defineConfig({ handler: './handler.ts', pools: { mypool: {} } })`,
    )
  }
  const outDir = folderLayout(dir).handlers
  const loaded = await load(file, outDir)
  const config = checkConfig(loaded.exports.default)
  const plan: Plan = { config, handlers: new Map(), files: loaded.files }
  for (const planned of planHandlers(config, dirname(file))) {
    const { functions, files } = await loadHandler(planned.file, planned.named, outDir)
    plan.handlers.set(planned.name, { ...planned, functions })
    plan.files.push(...files)
  }
  return plan
}

async function loadHandler(file: string, named: string, outDir: string): Promise<{ functions: HandlerFunctions; files: string[] }> {
  if (!existsSync(file)) throw new OverpoolError('BAD_CONFIG', `the config names a handler ${named}, and there is no such file`)
  const { exports, files } = await load(file, outDir)
  return { functions: handlerFunctions(exports, named), files }
}
