import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The bench installs this outside of the package. `mirror-folder` is pinned because its newest version does not load. */
const MANIFEST = { private: true, dependencies: { overpool: '0.0.6' }, overrides: { 'mirror-folder': '3.0.0' } }

/** Installs the original Overpool into the user's cache, once; resolves to the package.json from which `require` finds it. */
export async function installOriginal(): Promise<string> {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'overpool-bench', 'overpool-0.0.6')
  const manifest = join(folder, 'package.json')
  if (existsSync(join(folder, 'node_modules', '.package-lock.json'))) return manifest
  console.log(`installing the original into ${folder}`)
  await mkdir(folder, { recursive: true })
  await writeFile(manifest, JSON.stringify(MANIFEST))
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    shell: process.platform === 'win32',
  })
  return manifest
}
