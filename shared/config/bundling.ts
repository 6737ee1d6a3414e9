import { readFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { BuildFailure, BuildOptions, Plugin } from 'esbuild'
import { OverpoolError, textOf } from '../errors.ts'

/** In a file that runs here, `import … from 'overpool-cloud'` gives the running library, not a second copy of it. */
const LIBRARY = new URL(`../../index${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url).href

/**
 * How a user's files are bundled, for this machine and for AWS. The bundle is a module, whatever the files are, so it gets what CommonJS files expect: `require`, and the names of
 * file and folder, which the caller has to define.
 */
export const BUNDLING = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  logLevel: 'silent',
  banner: { js: "import{createRequire as overpoolRequire}from'node:module';const require=overpoolRequire(import.meta.url);" },
  define: { __filename: 'overpoolFilename', __dirname: 'overpoolDirname' },
} as const satisfies BuildOptions

/** The same for a bundle that runs on this machine: a file finds what lies beside it, though the bundle lies elsewhere. */
export const BUNDLING_HERE = {
  ...BUNDLING,
  define: {
    ...BUNDLING.define,
    'import.meta.url': 'overpoolUrl',
    'import.meta.filename': 'overpoolFilename',
    'import.meta.dirname': 'overpoolDirname',
  },
} as const satisfies BuildOptions

const NAMES_ITS_PLACE = /\bimport\.meta\b|\b__(file|dir)name\b/

function placeOf(file: string): string {
  const [url, filename, folder] = [pathToFileURL(file).href, file, dirname(file)].map((place) => JSON.stringify(place))
  return `const overpoolUrl=${url},overpoolFilename=${filename},overpoolDirname=${folder};`
}

/**
 * Bundles the user's own files, wherever they are: beside the entry, under `paths` of tsconfig.json, `#imports`, or in a package of the workspace. Installed packages are imported
 * from where they are installed, by their full path, since the bundle may lie anywhere.
 * @param saw called with each file of the bundle, and with those that a missing import may mean
 */
export function ownFiles(saw: (file: string) => void): Plugin {
  return {
    name: 'own-files',
    setup({ onResolve, onLoad, resolve }) {
      onResolve({ filter: /./ }, async ({ path, kind, importer, namespace, resolveDir, pluginData }) => {
        if (pluginData === 'asked') return undefined
        if (isBuiltin(path)) return { path, external: true }
        if (path === 'overpool-cloud') return { path: LIBRARY, external: true }
        const found = await resolve(path, { kind, importer, namespace, resolveDir, pluginData: 'asked' })
        if (found.errors.length) {
          if (path.startsWith('.')) for (const candidate of candidatesFor(join(resolveDir, path))) saw(candidate)
          return { errors: found.errors }
        }
        if (!/[\\/]node_modules[\\/]/.test(found.path)) return undefined
        return { path: kind.startsWith('require') ? found.path : pathToFileURL(found.path).href, external: true }
      })
      onLoad({ filter: /./ }, async ({ path }) => {
        saw(path)
        if (!/\.[cm]?[jt]sx?$/.test(path)) return undefined
        const text = await readFile(path, 'utf8')
        return NAMES_ITS_PLACE.test(text) ? { contents: placeOf(path) + text, loader: 'default' } : undefined
      })
    },
  }
}

/** The files that an import may mean which does not exist yet: it may have no ending, or that of the compiled file. */
function candidatesFor(path: string): string[] {
  const stem = path.replace(/\.[cm]?[jt]sx?$/, '')
  const endings = ['ts', 'tsx', 'mts', 'cts', 'js', 'jsx', 'mjs', 'cjs', 'json']
  return [path, ...endings.flatMap((ending) => [`${stem}.${ending}`, join(stem, `index.${ending}`)])]
}

/** The shortest form of a path. */
export function near(file: string): string {
  const path = relative('.', file)
  return path.startsWith('..') ? file : path
}

/** An error of esbuild in a user's file, with its place. */
export function buildError(file: string, cause: unknown): OverpoolError {
  const [error] = (cause as Partial<BuildFailure>).errors ?? []
  const where = error?.location ? `${error.location.file}:${error.location.line}:${error.location.column + 1}: ` : `${near(file)}: `
  return new OverpoolError('BAD_CONFIG', `${where}${error?.text ?? textOf(cause)}`, { cause })
}
