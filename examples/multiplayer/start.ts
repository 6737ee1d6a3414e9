// Starts a DHT and three machines, each a process of its own with a pool of its own, as three vendors would do by hand on three computers; and shows what
// happens. `npm run example`, or `node examples/multiplayer/start.ts`.

import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const VENDORS = ['ana', 'ben', 'cleo']
const here = fileURLToPath(new URL('.', import.meta.url))
const cli = join(here, '../../cli/main.ts')
const folder = mkdtempSync(join(tmpdir(), 'overpool-multiplayer-'))

/** A vendor's machine: its pool's public key, and where wallets post to. */
interface Machine {
  key: string
  url: string
}

/** Runs a command in a vendor's folder, and shows it. Its output goes to `print`, line by line. */
function overpool(who: string, args: string[], print: (line: string) => void, env: NodeJS.ProcessEnv = {}): ChildProcess {
  console.log(`${who}$ overpool ${args.map(shortened).join(' ')}`)
  const child = spawn(process.execPath, [cli, '--dir', join(folder, who), ...args], {
    cwd: here,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true, // Ctrl-C comes to us alone, and we stop them in their order
  })
  createInterface(child.stdout!).on('line', print)
  return child
}

/** Starts a vendor's machine; resolves when it takes payments. Its handler's output goes to `print`. */
function start(vendor: string, dht: string, print: (line: string) => void): Promise<Machine> {
  return new Promise((resolve) => {
    const read = (line: string) => {
      const { pools, printed } = JSON.parse(line) as { pools?: { path: string; key: string; url: string }[]; printed?: string }
      if (printed !== undefined) print(printed)
      if (pools) resolve(pools.find(({ path }) => path === vendor)!)
    }
    running.push(overpool(vendor, ['start', '--port', '0', '--json'], read, { VENDOR: vendor, DHT: dht }))
  })
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}

function shortened(text: string): string {
  return text.replace(/([0-9a-f]{8})[0-9a-f]{56}/g, '$1…')
}

function orderOf(url: string, table: string): { shown: string; request: RequestInit } {
  const headers = { 'Content-Type': 'application/json' }
  const body = JSON.stringify({ transaction: '01000000000000000000', memo: table }) // no inputs, no outputs: an empty bill
  return { shown: `curl ${url} -H 'Content-Type: application/json' -d '${body}'`, request: { method: 'POST', headers, body } }
}

/** The running processes, in the order in which they were started. */
const running: ChildProcess[] = []

async function run(): Promise<void> {
  const port = await freePort()
  await new Promise<void>((resolve) => running.push(overpool('dht', ['dht', '--port', String(port)], () => resolve())))

  const complete = Promise.withResolvers<string>()
  const machines = new Map<string, Machine>()
  for (const vendor of VENDORS) {
    const print = (line: string) => {
      console.log(`${vendor.padEnd(4)} | ${line}`)
      const txid = /complete.*([0-9a-f]{64})$/.exec(line)?.[1]
      if (txid !== undefined) complete.resolve(txid)
    }
    machines.set(vendor, await start(vendor, `127.0.0.1:${port}`, print))
  }
  for (const vendor of VENDORS) {
    for (const [other, { key }] of machines)
      if (other !== vendor)
        await once(
          overpool(vendor, ['sub', key], () => {}),
          'exit',
        )
  }

  const { url } = machines.get('ana')!
  const { shown, request } = orderOf(url, 'table 1')
  console.log(`customer$ ${shown}`)
  await fetch(url, request)
  const trail = overpool('cleo', ['trail', 'cleo', await complete.promise], (line) => console.log(shortened(line)))
  await once(trail, 'close')
  console.log(`
From another terminal another table orders, and how a machine stands is seen:

  ${orderOf(url, 'table 2').shown}
  npx overpool --dir ${join(folder, 'ben')} status

Ctrl-C stops all of it.`)
}

// The listeners stay: npm passes a Ctrl-C on that has reached us already, and the second one must not end us before the machines.
const stopped = Promise.withResolvers<void>()
let stopping: ChildProcess | undefined
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stopped.resolve()
    stopping?.kill('SIGINT') // a later Ctrl-C ends it at once
  })
}
try {
  await Promise.race([run().then(() => stopped.promise), stopped.promise])
} finally {
  for (const child of running.reverse()) {
    // the DHT last, so that the machines can sign off from the network
    const exited = once(child, 'exit')
    stopping = child
    if (child.exitCode === null && child.kill('SIGINT')) await exited
  }
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
