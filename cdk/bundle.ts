import { hash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { BUNDLING, buildError } from '../shared/config/bundling.ts'
import { checkExports } from '../shared/machine/handlers.ts'
import { fileOf, ROOT } from './source.ts'

/**
 * The folder of the bundles while this process lives. Each process has its own, since another one may bundle the same code at the same time. Its depth in the project is the
 * same on every machine: a bundle contains the relative paths of its sources, and its hash must not depend on the machine.
 */
export const OUT = resolve('node_modules', '.cache', 'overpool-cloud', String(process.pid))
process.once('exit', () => rmSync(OUT, { recursive: true, force: true }))

/** A function's code, ready to be uploaded: `index.mjs`, and the chunks that it loads on demand. */
export interface Bundle {
  dir: string
  /** minified code that is read at the start */
  bytes: number
}

/** The HTTP door, with the config in it. */
export function bundlePayments(config: string): Promise<Bundle> {
  return bundle('payments', { index: fileOf('functions/payments/index') }, { '#config': config })
}

/** The runner of one handler file. */
export async function bundleHandler(name: string, { file, named }: { file: string; named: string }, config: string): Promise<Bundle> {
  await checkHandler(file, named)
  const entries = { index: fileOf('functions/handler/index'), 'watchdog-thread': fileOf('functions/handler/watchdog-thread') }
  return bundle(`handler-${name}`, entries, { '#config': config, '#handler': file })
}

/** The runner of one forward, with the config. */
export function bundleForward(name: string, config: string): Promise<Bundle> {
  return bundle(`forward-${name}`, { index: fileOf('functions/handler/forward-index') }, { '#config': config })
}

/** What sends the events of pools, with the config and its functions in it. */
export function bundleEvents(config: string): Promise<Bundle> {
  return bundle('events', { index: fileOf('functions/events/index') }, { '#config': config })
}

/** The built-in broadcaster, with the config and its functions in it. */
export function bundleBroadcaster(config: string): Promise<Bundle> {
  const entries = { index: fileOf('functions/handler/broadcaster-index'), 'watchdog-thread': fileOf('functions/handler/watchdog-thread') }
  return bundle('broadcaster', entries, { '#config': config })
}

/** @param entries `index`, and files that are started by their name */
async function bundle(name: string, entries: { index: string }, places: Record<string, string>): Promise<Bundle> {
  const dir = join(OUT, `${name}-${hash('sha256', JSON.stringify(places)).slice(0, 8)}`)
  rmSync(dir, { recursive: true, force: true })
  const { metafile } = await esbuild(entries.index, {
    entryPoints: Object.fromEntries(Object.entries(entries).map(([out, file]) => [out, join(ROOT, file)])),
    splitting: true, // what is imported when it is needed stays a file of its own
    outdir: dir,
    outExtension: { '.js': '.mjs' },
    chunkNames: '[name]-[hash]',
    minify: true,
    keepNames: true,
    sourcemap: true,
    sourcesContent: false,
    legalComments: 'none',
    mainFields: ['module', 'main'],
    banner: { js: `${BUNDLING.banner.js}const overpoolFilename=import.meta.filename,overpoolDirname=import.meta.dirname;` },
    plugins: [
      placesOf(join(ROOT, entries.index), { ...places, 'overpool-cloud': join(ROOT, fileOf('functions/package-root')) }),
      credentialsOfLambda,
    ],
  })
  const outputs = metafile!.outputs
  const start = Object.keys(outputs).find((file) => outputs[file]!.entryPoint === entries.index)!
  const read = new Set([start])
  for (const file of read) {
    for (const { path, kind } of outputs[file]!.imports) if (kind !== 'dynamic-import' && outputs[path]) read.add(path)
  }
  return { dir, bytes: [...read].reduce((sum, file) => sum + outputs[file]!.bytes, 0) }
}

/** Checks that a handler file exports its handler functions. */
async function checkHandler(file: string, named: string): Promise<void> {
  const { metafile } = await esbuild(named, { entryPoints: [file], bundle: false, write: false, outdir: OUT })
  const { exports, inputs } = Object.values(metafile!.outputs)[0]!
  const isCommonJs = Object.keys(inputs).some((input) => metafile!.inputs[input]?.format === 'cjs')
  if (!isCommonJs) checkExports(exports, named) // what a CommonJS file exports is seen when it runs
}

async function esbuild(named: string, options: BuildOptions) {
  try {
    return await build({
      ...BUNDLING,
      absWorkingDir: ROOT,
      target: 'node24',
      metafile: true,
      ...options,
    })
  } catch (cause) {
    throw buildError(named, cause)
  }
}

/** What stands for the names that the entry imports. The user's files may have a `#config` of their own. */
function placesOf(entry: string, places: Record<string, string>): Plugin {
  return {
    name: 'places',
    setup({ onResolve }) {
      onResolve({ filter: /^(#config|#handler|overpool-cloud)$/ }, ({ path, importer }) =>
        path === 'overpool-cloud' || importer === entry ? { path: places[path]! } : undefined,
      )
    },
  }
}

/** Lambda gives a function its credentials in the environment: the SDK's other credential providers would be a third of the code read at the start. */
const credentialsOfLambda: Plugin = {
  name: 'credentials-of-lambda',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@aws-sdk\/credential-provider-node$/ }, ({ resolveDir }) => ({
      path: 'environment',
      namespace: 'credentials',
      pluginData: resolveDir,
    }))
    onLoad({ filter: /./, namespace: 'credentials' }, ({ pluginData }) => ({
      contents: "export { fromEnv as defaultProvider } from '@aws-sdk/credential-provider-env'",
      resolveDir: pluginData as string,
    }))
  },
}
