import { hash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { OverpoolError, textOf } from '../errors.ts'
import { BUNDLING_HERE, buildError, near, ownFiles } from './bundling.ts'

/**
 * Bundles a user's file, TypeScript or JavaScript, and imports it. After a change, a second call gives the new code; the old stays in use where it runs.
 * @param outDir where bundles lie; those of earlier loads are removed
 * @param saw called with the absolute path of each file that it is made of, also if it fails, and with those that a missing import may mean
 * @returns what the file exports
 * @throws OverpoolError BAD_CONFIG, with the place in the file
 */
export async function load(file: string, outDir: string, saw: (file: string) => void = () => {}): Promise<Record<string, unknown>> {
  saw(resolve(file))
  const code = await bundle(file, outDir, saw)
  const name = `${basename(file).replace(/\.[^.]*$/, '')}-${hash('sha256', resolve(file)).slice(0, 8)}`
  const out = join(outDir, `${name}-${hash('sha256', code).slice(0, 12)}.mjs`)
  mkdirSync(outDir, { recursive: true, mode: 0o700 }) // a handler may hold secrets
  for (const old of readdirSync(outDir)) if (old.startsWith(`${name}-`)) rmSync(join(outDir, old))
  writeFileSync(out, code, { mode: 0o600 })
  try {
    return ((await import(pathToFileURL(out).href)) as { user: Record<string, unknown> }).user
  } catch (cause) {
    throw new OverpoolError(
      'BAD_CONFIG',
      `${placeOf(cause) ?? near(file)}: ${cause instanceof Error ? textOf(cause) : `threw ${textOf(cause)}`}`,
      { cause },
    )
  }
}

/** The place in the user's own files where loading failed, by the source maps. */
function placeOf(cause: unknown): string | undefined {
  const [, place, at] = (cause instanceof Error && /^ +at .*?([^\s()]+?)(:\d+:\d+)\)?$/m.exec(cause.stack ?? '')) || []
  return place && existsSync(place) ? `${near(place)}${at}` : undefined
}

async function bundle(file: string, outDir: string, saw: (file: string) => void): Promise<string> {
  try {
    const { outputFiles } = await build({
      ...BUNDLING_HERE,
      // As a function on AWS imports it: the exports of a CommonJS file have names, too.
      stdin: { contents: `import * as user from ${JSON.stringify(resolve(file))}\nexport { user }`, resolveDir: dirname(resolve(file)) },
      outdir: outDir, // nothing is written, but the source map's paths begin there
      target: `node${process.versions.node}`,
      sourcemap: 'inline',
      write: false,
      plugins: [ownFiles(saw)],
    })
    return outputFiles[0]!.text
  } catch (cause) {
    throw buildError(file, cause)
  }
}
