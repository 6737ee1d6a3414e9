import { hash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type BuildFailure, build, type Plugin } from 'esbuild'
import { OverpoolError } from '../errors.ts'

/** In a loaded file, `import … from 'overpool-cloud'` gives the running library, not a second copy of it. */
const LIBRARY = new URL(`../../index${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url).href

export interface Loaded {
  exports: Record<string, unknown>
  /** absolute paths of the files that it is made of */
  files: string[]
}

/**
 * Bundles a user's file, TypeScript or JavaScript, and imports it. After a change, a second call gives the new code; the old stays in use where it runs.
 * @param outDir where bundles lie; those of earlier loads are removed
 * @throws OverpoolError BAD_CONFIG, with the place in the file
 */
export async function load(file: string, outDir: string): Promise<Loaded> {
  const { code, files } = await bundle(file, outDir)
  const name = `${basename(file).replace(/\.[^.]*$/, '')}-${hash('sha256', resolve(file)).slice(0, 8)}`
  const out = join(outDir, `${name}-${hash('sha256', code).slice(0, 12)}.mjs`)
  mkdirSync(outDir, { recursive: true, mode: 0o700 }) // a handler may hold secrets
  for (const old of readdirSync(outDir)) if (old.startsWith(`${name}-`)) rmSync(join(outDir, old))
  writeFileSync(out, code, { mode: 0o600 })
  try {
    return { exports: (await import(pathToFileURL(out).href)) as Record<string, unknown>, files }
  } catch (cause) {
    throw new OverpoolError(
      'BAD_CONFIG',
      `${placeOf(cause) ?? near(file)}: ${cause instanceof Error ? String(cause) : `threw ${String(cause)}`}`,
      { cause },
    )
  }
}

/** The place in the user's own files where loading failed, by the source maps. */
function placeOf(cause: unknown): string | undefined {
  const [, place, at] = (cause instanceof Error && /^ +at .*?([^\s()]+?)(:\d+:\d+)\)?$/m.exec(cause.stack ?? '')) || []
  return place && existsSync(place) ? `${near(place)}${at}` : undefined
}

/** The shortest form of a path. */
function near(file: string): string {
  const path = relative('.', file)
  return path.startsWith('..') ? file : path
}

async function bundle(file: string, outDir: string): Promise<{ code: string; files: string[] }> {
  try {
    const { outputFiles, metafile } = await build({
      entryPoints: [file],
      outdir: outDir, // nothing is written, but the source map's paths begin there
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: `node${process.versions.node}`,
      sourcemap: 'inline',
      metafile: true,
      write: false,
      logLevel: 'silent',
      plugins: [packagesStayOutside],
    })
    return { code: outputFiles[0]!.text, files: Object.keys(metafile.inputs).map((input) => resolve(input)) }
  } catch (cause) {
    throw buildError(file, cause)
  }
}

/** An error of esbuild in a user's file, with its place. */
export function buildError(file: string, cause: unknown): OverpoolError {
  const [error] = (cause as Partial<BuildFailure>).errors ?? []
  const where = error?.location ? `${error.location.file}:${error.location.line}:${error.location.column + 1}: ` : `${near(file)}: `
  return new OverpoolError('BAD_CONFIG', `${where}${error?.text ?? String(cause)}`, { cause })
}

// Packages are imported from where they are installed, by their full path: the bundle may lie anywhere.
const packagesStayOutside: Plugin = {
  name: 'packages-stay-outside',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^[^./]/ }, async ({ path, kind, resolveDir, pluginData }) => {
      if (kind === 'entry-point' || pluginData === 'asked') return undefined
      if (isBuiltin(path)) return { path, external: true }
      if (path === 'overpool-cloud') return { path: LIBRARY, external: true }
      const found = await resolve(path, { kind, resolveDir, pluginData: 'asked' })
      return found.errors.length ? { errors: found.errors } : { path: pathToFileURL(found.path).href, external: true }
    })
  },
}
