import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Installs the original Overpool outside of the package, once; resolves to the package.json from which `require` finds it. */
export function installOriginal(): Promise<string> {
  // `mirror-folder` is pinned because its newest version does not load.
  return install('overpool', '0.0.6', { 'mirror-folder': '3.0.0' })
}

/** The same of the parser that the Planarias of 2019 used. */
export function installBpu(): Promise<string> {
  return install('bpu', '0.0.13')
}

/** Installs a package into the user's cache. */
async function install(name: string, version: string, overrides: Record<string, string> = {}): Promise<string> {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'overpool-bench', `${name}-${version}`)
  const manifest = join(folder, 'package.json')
  if (existsSync(join(folder, 'node_modules', '.package-lock.json'))) return manifest
  console.log(`installing ${name} ${version} into ${folder}`)
  await mkdir(folder, { recursive: true })
  await writeFile(manifest, JSON.stringify({ private: true, dependencies: { [name]: version }, overrides }))
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    shell: process.platform === 'win32',
  })
  return manifest
}
