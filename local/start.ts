import { existsSync, type FSWatcher, watch } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { checkConfig, type OverpoolConfig } from '../shared/config/config.ts'
import { type PlannedHandler, planHandlers, takes } from '../shared/config/handlers.ts'
import { load } from '../shared/config/load.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { OnTx } from '../shared/machine/machine.ts'
import { folderLayout, makeFolder } from './folder.ts'
import { EmbeddedMachine, type Handler } from './machine.ts'
import type { Ports } from './ports.ts'
import type { MachineReport } from './report.ts'

/** Editors write a file in several steps: what changes within this time is one change, ms. */
const DEBOUNCE_MS = 60

export interface StartOptions {
  /** the config's file */
  config: string
  dir: string
  port: number
  host: string
  /** what has happened to the files: a handler reloaded, a mistake in one */
  say: (line: string) => void
  report: (report: MachineReport) => void
  ports?: (dir: string) => Promise<Ports>
}

export interface Started {
  url: string
  machine: EmbeddedMachine
  /** the pools of the config, and the file of each one's handler */
  pools: { path: string; handler?: string }[]
  close: () => Promise<void>
}

interface LoadedHandler extends PlannedHandler {
  onTx: OnTx
}

/** Everything that a config says, loaded: nothing of it is applied while a part of it is wrong. */
interface Plan {
  config: OverpoolConfig
  handlers: Map<string, LoadedHandler>
  files: string[]
}

/** Starts the machine of a config, and follows the config and the handler files as they are saved. A mistake in one leaves what runs as it is. */
export async function start(options: StartOptions): Promise<Started> {
  const { dir, say } = options
  makeFolder(dir)
  let plan = await readPlan(options)
  const network = JSON.stringify(plan.config.network)
  const machine = await EmbeddedMachine.open({ dir, network: plan.config.network, report: options.report, ports: options.ports })
  const handlers = new Map<string, LoadedHandler>()
  const watchers = new Map<string, FSWatcher>()
  let broken = false
  let closing = false
  let pending: NodeJS.Timeout | undefined
  let reloading = Promise.resolve()

  const apply = async (next: Plan) => {
    for (const [path, { handler: _, publish, ...settings }] of Object.entries(next.config.pools))
      await machine.create(path, settings, publish)
    machine.serveOnly(Object.keys(next.config.pools))
    await machine.syncSubscriptions(next.config)
    for (const name of handlers.keys()) {
      if (next.handlers.has(name)) continue
      handlers.delete(name)
      await machine.unhandle(name)
    }
    for (const [name, planned] of next.handlers) {
      const working = handlers.get(name)
      if (working) Object.assign(working, planned)
      else {
        handlers.set(name, planned)
        await machine.handle(handlerOf(planned))
      }
    }
    await machine.ringAgain()
    plan = next
  }

  const reload = async () => {
    try {
      const next = await readPlan(options)
      if (JSON.stringify(next.config.network) !== network) say('the settings of the network are taken at the next start')
      await apply(next)
      broken = false
      say(
        `reloaded; payments are taken at ${
          Object.keys(plan.config.pools)
            .map((path) => `${url}/${path}`)
            .join(', ') || 'no pool'
        }`,
      )
    } catch (error) {
      broken = true
      say(`not reloaded, the last good version goes on: ${error instanceof Error ? error.message : String(error)}`)
    }
    if (!closing) watchFiles()
  }

  /** Watches the folders of all files that the plan is made of. One that is watched stays so: between two watchers a change would be missed. */
  const watchFiles = () => {
    const folders = new Set(plan.files.map((file) => dirname(file)))
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue
      watcher.close()
      watchers.delete(folder)
    }
    for (const folder of folders) {
      if (watchers.has(folder) || !existsSync(folder)) continue
      const watcher = watch(folder, (_, name) => {
        // While a mistake stands, the file that mends it may be one that no good plan has seen.
        if (name !== null && !broken && !plan.files.includes(join(folder, name))) return
        clearTimeout(pending)
        pending = setTimeout(() => (reloading = reloading.then(reload)), DEBOUNCE_MS)
      })
      watchers.set(
        folder,
        watcher.on('error', () => {}),
      ) // a folder that is removed is not followed any more
    }
  }

  let url = ''
  try {
    ;({ url } = await machine.listen(Object.keys(plan.config.pools), options.port, options.host))
    await apply(plan)
    watchFiles()
    const pools = Object.entries(plan.config.pools).map(([path, pool]) => ({ path, handler: pool.handler ?? plan.config.handler }))
    return { url, machine, pools, close }
  } catch (error) {
    await machine.close()
    throw error
  }

  async function close() {
    closing = true
    clearTimeout(pending)
    for (const watcher of watchers.values()) watcher.close()
    await reloading
    await machine.close()
  }
}

function handlerOf(working: LoadedHandler): Handler {
  return { name: working.name, onTx: (event, pool) => working.onTx(event, pool), takes: (pool) => takes(working, pool) }
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
    const { onTx, files } = await loadHandler(planned.file, planned.named, outDir)
    plan.handlers.set(planned.name, { ...planned, onTx })
    plan.files.push(...files)
  }
  return plan
}

async function loadHandler(file: string, named: string, outDir: string): Promise<{ onTx: OnTx; files: string[] }> {
  if (!existsSync(file)) throw new OverpoolError('BAD_CONFIG', `the config names a handler ${named}, and there is no such file`)
  const { exports, files } = await load(file, outDir)
  const onTx = exports.onTx ?? exports.default
  if (typeof onTx !== 'function')
    throw new OverpoolError('BAD_CONFIG', `${named} exports no onTx; write: export async function onTx(e, pool) { … }`)
  return { onTx: onTx as OnTx, files }
}
