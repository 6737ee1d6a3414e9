import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'

/** The longest start of an engine, ms. */
const START_MS = 30_000
/** Starts an engine. A computer without systemd may have no cgroups mounted. */
const ENGINE = 'mountpoint -q /sys/fs/cgroup || cgroupfs-mount; exec dockerd "$@"'

/** This computer lacks something that building or running an image needs; the message names it. */
export class Lacking extends Error {}

/** Runs a command of Docker; resolves to its output, or fails with its error output. */
export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', args, { maxBuffer: 64 * 1024 * 1024 })
  return stdout.trim()
}

/** Uses the Docker engine that answers, and leaves it running; or starts one, if this process is root. All later commands use that engine. */
export async function startEngine(): Promise<{ where: string; stop: () => Promise<void> }> {
  if (await answers()) return { where: 'a Docker engine that was there', stop: async () => {} }
  if (process.getuid?.() !== 0) throw new Lacking('no Docker engine answers, and only root can start one')
  const folder = mkdtempSync(join(tmpdir(), 'overpool-docker-'))
  const log = join(folder, 'log')
  const out = openSync(log, 'w')
  process.env.DOCKER_HOST = `unix://${folder}/socket`
  // Its mounts end with it. It does not change this computer's network: its containers use the host's network.
  const options = { 'data-root': 'data', 'exec-root': 'exec', pidfile: 'pid' }
  const places = Object.entries(options).map(([option, name]) => `--${option}=${join(folder, name)}`)
  const network = ['--bridge=none', '--iptables=false', '--ip6tables=false']
  const args = ['--mount', 'sh', '-c', ENGINE, 'dockerd', ...places, `--host=${process.env.DOCKER_HOST}`, ...network]
  const child = spawn('unshare', args, { stdio: ['ignore', out, out] })
  const exited = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGTERM')
    await exited
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  for (const end = performance.now() + START_MS; !(await answers()); await wait(100)) {
    if (child.exitCode === null && performance.now() < end) continue
    const last = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-3).join('\n')
    await stop()
    throw new Lacking(`no Docker engine answers, and none could be started (Debian has it in docker.io):\n${last}`)
  }
  return { where: 'a Docker engine of its own', stop }
}

async function answers(): Promise<boolean> {
  return docker('version').then(
    () => true,
    () => false,
  )
}
