import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'

import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
/** What is installed once for the tests. */
export const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'overpool-cloud')
/** An emulator answers within this time, or something is wrong, ms. */
const START_MS = 120_000

export type EmulatorName = 'ministack' | 'localstack'

/** An AWS on this machine. */
export interface Emulator {
  endpoint: string
  /** for whoever speaks to it: the SDK, the CDK, the sidecar */
  env: Record<string, string>
  stop: () => Promise<void>
}

/** Starts an emulator, which is installed first if it is not there; or takes the one at AWS_ENDPOINT_URL, and leaves that running. */
export async function startEmulator(name: EmulatorName): Promise<Emulator> {
  const there = process.env.AWS_ENDPOINT_URL
  if (there) return { endpoint: there, env: envOf(there), stop: async () => {} }
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
    detached: true, // so that it ends with all that it has started
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
    // of cdklocal
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
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`, // functions run on the first `node` in it
    },
  ]
}

function localstack(home: string, port: number, temporary: string): Command {
  return [
    join(home, 'venv', 'bin', 'python'),
    ['-m', 'localstack.runtime.main'],
    {
      FILESYSTEM_ROOT: join(home, 'fs'), // its /var/lib/localstack and others lie below this
      OVERRIDE_IN_DOCKER: '0', // where there is a /.dockerenv it would leave FILESYSTEM_ROOT alone
      LOCALSTACK_VOLUME_DIR: temporary,
      GATEWAY_LISTEN: `127.0.0.1:${port}`,
      LOCALSTACK_HOST: `localhost:${port}`, // in the URLs that it gives: its own domain may not be known here
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

/** Where an emulator is installed. A folder bears its name when it is complete. */
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
  execFileSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
}

async function freePort(): Promise<number> {
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
