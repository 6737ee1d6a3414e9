import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CACHE } from '../stack/emulators.ts'
import { docker, Lacking } from './docker.ts'

const run = promisify(execFile)
const NODE = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url))
/** The base image and the npm of the Dockerfile. */
const BASE = 'node:24-bookworm-slim'
const NPM = 'npm@11'
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'

/** A base for the sidecar's image that reaches the registries as this computer does: Node's image, or a local one if that cannot be pulled. */
export async function baseImage(): Promise<{ image: string; what: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'overpool-base-'))
  try {
    const pulled = await docker('pull', '--quiet', BASE).catch(() => undefined)
    const from = pulled === undefined ? await docker('import', await archive(), 'overpool-base') : BASE
    await settings(join(folder, 'files'))
    writeFileSync(join(folder, 'Dockerfile'), `FROM ${from}\nCOPY files /\n`)
    const image = 'overpool-base:here'
    await docker('build', '--quiet', '--tag', image, folder)
    return { image, what: pulled === undefined ? 'a base made with debootstrap and the npm package node' : BASE }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The files of a Debian with Node and npm: this computer's release, from its package source. */
async function archive(): Promise<string> {
  const release = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
  const file = join(CACHE, `base-${release}-node-${process.version}-${NPM}.tar`)
  if (existsSync(file)) return file
  if (process.getuid?.() !== 0) throw new Lacking(`${BASE} cannot be pulled, and only root can make another base`)
  const lines = await lacking('apt-get', ['indextargets', '--format', '$(RELEASE) $(REPO_URI)', 'Created-By: Packages'])
  const stores = lines.split('\n').find((line) => line.startsWith(`${release} `))
  if (!stores) throw new Lacking(`${BASE} cannot be pulled, and apt has no packages of ${release} to make another base of`)
  console.log(`making a base of Debian ${release}, once`)
  const folder = mkdtempSync(join(tmpdir(), 'overpool-debian-'))
  try {
    const root = join(folder, 'root')
    // In a mount namespace, which removes the mounts that a failed debootstrap leaves.
    await lacking('unshare', ['--mount', 'debootstrap', '--variant=minbase', release!, root, stores.slice(release!.length + 1)])
    copyFileSync(NODE, join(root, 'usr/local/bin/node'))
    await lacking('npm', ['install', '--global', '--prefix', join(root, 'usr/local'), '--ignore-scripts', '--no-audit', '--no-fund', NPM])
    const made = join(folder, 'made.tar')
    await lacking('tar', ['-C', root, '--exclude=./var/cache/apt/*', '--exclude=./var/lib/apt/lists/*', '-cf', made, '.'])
    mkdirSync(CACHE, { recursive: true })
    copyFileSync(made, `${file}.new`)
    renameSync(`${file}.new`, file)
    return file
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs a command that makes a base; if it fails, the base is lacking. */
async function lacking(command: string, args: string[]): Promise<string> {
  try {
    return (await run(command, args, { maxBuffer: 64 * 1024 * 1024 })).stdout
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string }
    const said = `${stdout}${stderr}`.trimEnd().split('\n').slice(-3).join('\n')
    throw new Lacking(`${BASE} cannot be pulled, and another base cannot be made with ${command}: ${said || String(cause)}`, { cause })
  }
}

/** Writes the settings with which npm and apt reach their registries as here. It copies no tokens, so registries that need one are not reached. */
async function settings(root: string): Promise<void> {
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const { stdout: registry } = await run('npm', ['config', 'get', 'registry'], { cwd: tmpdir() })
  let npmrc = `registry=${registry.trim()}\n`
  if (existsSync(CERTIFICATES)) {
    write(CERTIFICATES, readFileSync(CERTIFICATES, 'utf8'))
    npmrc += `cafile=${CERTIFICATES}\n`
  }
  write('usr/local/etc/npmrc', npmrc)
  const acquire = await run('apt-config', ['dump', 'Acquire']).catch(() => ({ stdout: '' }))
  const lines = acquire.stdout.split('\n').filter((line) => !line.startsWith('Acquire::IndexTargets'))
  write('etc/apt/apt.conf.d/99here', lines.join('\n'))
}
