import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'

import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
/** The folder of what the tests install once. */
export const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'overpool-cloud')
/** The longest start of an emulator, ms. */
const START_MS = 120_000

export type EmulatorName = 'ministack' | 'localstack'

/** An AWS on this machine. */
export interface Emulator {
  endpoint: string
  /** the variables with which the SDK, the CDK and the sidecar reach it */
  env: Record<string, string>
  stop: () => Promise<void>
}

/** Starts an emulator, and installs it first if it is missing. If AWS_ENDPOINT_URL is set, it uses the emulator there, and leaves that running. */
export async function startEmulator(name: EmulatorName): Promise<Emulator> {
  const running = process.env.AWS_ENDPOINT_URL
  if (running) return { endpoint: running, env: envOf(running), stop: async () => {} }
  const home = await installed(name)
  const port = await freePort()
  const temporary = mkdtempSync(join(tmpdir(), `overpool-${name}-`))
  const endpoint = `http://localhost:${port}`
  const [command, args, env] = name === 'ministack' ? ministack(home, port) : localstack(home, port, temporary)
  const log = join(temporary, 'log')
  const out = openSync(log, 'w')
  const child = spawn(command, args, {
    env: {
      ...process.env,
      ...env,
      TMPDIR: temporary,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_DEFAULT_REGION: 'us-east-1',
    },
    stdio: ['ignore', out, out],
    detached: true, // a process group of its own, which ends with all that it has started
  })
  const stop = async () => {
    await end(child)
    rmSync(temporary, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await answers(`http://127.0.0.1:${port}/_localstack/health`, child)
  } catch (cause) {
    const last = readFileSync(log, 'utf8').split('\n').slice(-20).join('\n')
    await stop()
    throw new Error(`${name} did not start:\n${last}`, { cause })
  }
  return { endpoint, env: envOf(endpoint), stop }
}

function envOf(endpoint: string): Record<string, string> {
  const { hostname, port } = new URL(endpoint)
  return {
    AWS_ENDPOINT_URL: endpoint,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    // for cdklocal
    LOCALSTACK_HOSTNAME: hostname,
    EDGE_PORT: port,
    CDK_DISABLE_CLI_TELEMETRY: 'true',
  }
}

type Command = [command: string, args: string[], env: Record<string, string>]

function ministack(home: string, port: number): Command {
  return [
    join(home, 'venv', 'bin', 'ministack'),
    [],
    {
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`, // functions run on the first `node` of this PATH
    },
  ]
}

function localstack(home: string, port: number, temporary: string): Command {
  return [
    join(home, 'venv', 'bin', 'python'),
    ['-m', 'localstack.runtime.main'],
    {
      FILESYSTEM_ROOT: join(home, 'fs'), // the parent of its /var/lib/localstack and similar folders
      OVERRIDE_IN_DOCKER: '0', // without it, it ignores FILESYSTEM_ROOT if /.dockerenv exists
      LOCALSTACK_VOLUME_DIR: temporary,
      GATEWAY_LISTEN: `127.0.0.1:${port}`,
      LOCALSTACK_HOST: `localhost:${port}`, // the host in its URLs: its own domain may not resolve here
      SQS_ENDPOINT_STRATEGY: 'path',
      DNS_ADDRESS: '0',
      SKIP_SSL_CERT_DOWNLOAD: '1',
      DISABLE_EVENTS: '1',
      DISABLE_UPDATES: '1',
      EAGER_SERVICE_LOADING: '0',
      DYNAMODB_IN_MEMORY: '1',
      CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES: '1',
      LAMBDA_RUNTIME_EXECUTOR: 'node-process', // ./localstack/lambda-executor
      NODE_EXECUTOR_NODE: process.execPath,
      NODE_EXECUTOR_RIC: join(home, 'lambda-runtime', 'node_modules', 'aws-lambda-ric', 'index.mjs'),
    },
  ]
}

/** Installs an emulator, if it is not installed; returns its folder. The file `complete` marks a complete installation. */
async function installed(name: EmulatorName): Promise<string> {
  const lock = join(HERE, name === 'ministack' ? 'ministack.lock' : 'localstack/requirements.lock')
  const version = new RegExp(`^${name === 'ministack' ? 'ministack' : 'localstack-core'}==(.*)$`, 'm').exec(readFileSync(lock, 'utf8'))![1]!
  const home = join(CACHE, `${name}-${version}`)
  const done = join(home, 'complete')
  if (existsSync(done)) return home
  console.log(`installing ${name} ${version} into ${home}`)
  mkdirSync(home, { recursive: true })
  if (name === 'ministack') {
    run('python3', ['-m', 'venv', join(home, 'venv')])
    run(join(home, 'venv', 'bin', 'pip'), ['install', '-q', '--disable-pip-version-check', '-r', lock])
  } else {
    run(join(HERE, 'localstack', 'setup.sh'), [], { LS_HOME: home })
  }
  mkdirSync(done)
  return home
}

function run(command: string, args: string[], env: Record<string, string> = {}): void {
  try {
    execFileSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new Error(`${command} is missing, and the emulators run on it: install Python 3.10 or newer with venv (Debian: python3-venv)`, {
        cause,
      })
    throw new Error(`${command} ${args[0] ?? ''} has failed; the reason is above`, { cause })
  }
}

/** A free TCP port. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (const end = performance.now() + START_MS; performance.now() < end; await wait(200)) {
    if (child.exitCode !== null) throw new Error(`it exited with ${child.exitCode}`)
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok) return
  }
  throw new Error(`it did not answer within ${START_MS} ms`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), 15_000)
  await exited
  clearTimeout(late)
}
