import { type ChildProcess, spawn } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Effort, type Figures, number } from './report.ts'
import { World } from './swarm/world.ts'

const CLI = fileURLToPath(new URL('../../package/overpool.cjs', import.meta.url))
const KIB = 1_024
const MB = 1_000_000
/** The largest valid block holds one transaction of this size, bytes. */
const LARGEST = 5 * MB
const TOO_LARGE = 15 * MB

/** Resident memory of machines, each an `overpool start` in a process of its own, while large blocks are published and followed. */
export async function memory({ smoke }: Effort): Promise<Figures> {
  const total = smoke ? 30 * MB : 1_000 * MB
  const rows: string[][] = []
  let most = 0
  {
    await using world = await World.start()
    await using publisher = await Started.start(world, 'publisher', { pools: { mypool: { publish: true } } })
    const key = await publisher.read<{ pools: { key: string }[] }>('pools').then(({ pools }) => pools[0]!.key)
    const { url } = await publisher.read<{ url: string }>('url')
    const count = total / LARGEST
    for (let i = 0; i < count; i++) await post(`${url}/mypool`, LARGEST)
    await publisher.line((line) => line.includes(`handled ${count - 1}.`))
    rows.push(publisher.row(`publisher of ${count} blocks of ${number(LARGEST / MB)} MB, after the posts`))
    await using follower = await Started.start(world, 'follower', { pools: {} })
    await follower.subscribe(key)
    await follower.line((line) => line.includes(`handled ${count - 1}.`))
    rows.push(follower.row('its follower'), publisher.row('the publisher, after it has sent them'))
    most = follower.most
  }
  {
    await using world = await World.start()
    const count = Math.ceil(total / TOO_LARGE)
    const publisher = await world.program('large', world.bootstrap)
    const key = await publisher.ask<string>('publish', { count, bytes: TOO_LARGE })
    await using follower = await Started.start(world, 'follower', { pools: {} })
    await follower.subscribe(key)
    await follower.line((line) => line.includes('halted'))
    rows.push(follower.row(`follower of ${count} blocks of ${number(TOO_LARGE / MB)} MB, which are invalid, until it halts`))
    most = Math.max(most, follower.most)
    await publisher.ask('close')
  }
  return {
    title: `memory: machines as \`overpool start\`, ${number(total / MB)} MB of large blocks of random bytes`,
    rows: [['resident memory, MB', 'at the start', 'at most', 'at the end'], ...rows],
    goals: [{ what: 'a follower stays under 200 MB', met: most < 200 * MB }],
  }
}

/** An `overpool start` with a handler. */
class Started implements AsyncDisposable {
  readonly #dir: string
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  #atStart = 0

  static async start(world: World, name: string, config: object): Promise<Started> {
    const dir = world.dir(name)
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'handler.ts'), `export function onTx(e) {\n  console.log('handled ' + e.seq + '.')\n}\n`)
    const network = { host: '127.0.0.1', bootstrap: [world.bootstrap] }
    const text = JSON.stringify({ handler: './handler.ts', network, ...config })
    writeFileSync(join(dir, 'overpool.config.ts'), `export default ${text}\n`)
    const started = new Started(dir)
    await started.line((line) => line.includes('"url"'))
    await wait(1_000) // what a start leaves is then collected, or stays
    started.#atStart = started.#memory('VmRSS')
    return started
  }

  private constructor(dir: string) {
    this.#dir = dir
    this.#child = spawn(process.execPath, [CLI, '--json', 'start', '--port', '0'], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'pipe'],
    }).setMaxListeners(0)
    for (const printed of [this.#child.stdout!, this.#child.stderr!])
      createInterface(printed).on('line', (line) => {
        this.#lines.push(line)
        this.#child.emit('line', line)
      })
  }

  /** Resolves to the first line that fits. */
  async line(fits: (line: string) => boolean): Promise<string> {
    let found: string | undefined
    while ((found = this.#lines.find(fits)) === undefined) await Promise.race([once(this.#child, 'line'), this.#exited()])
    return found
  }

  async #exited(): Promise<never> {
    await once(this.#child, 'exit')
    throw new Error(`the machine has ended: ${this.#lines.at(-1)}`)
  }

  /** Subscribes to a peer's pool, by the command. */
  async subscribe(key: string): Promise<void> {
    await once(spawn(process.execPath, [CLI, 'sub', key], { cwd: this.#dir, stdio: 'ignore' }), 'exit')
  }

  /** What it printed as JSON, with this key. */
  async read<T>(key: string): Promise<T> {
    return JSON.parse(await this.line((line) => line.includes(`"${key}"`)))
  }

  /** The most that it had, as the system has seen it. */
  get most(): number {
    return this.#memory('VmHWM')
  }

  row(what: string): string[] {
    return [what, ...[this.#atStart, this.most, this.#memory('VmRSS')].map((bytes) => number(Math.round(bytes / MB)))]
  }

  /** @param name of a line of /proc/<pid>/status */
  #memory(name: 'VmRSS' | 'VmHWM'): number {
    try {
      const [, kib] = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'))!
      return Number(kib) * KIB
    } catch {
      return 0 // it has ended
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }
}

/** Posts a transaction of this size, whose bytes are random, so that they cannot be compressed. */
async function post(url: string, bytes: number): Promise<void> {
  const head = Buffer.from('0100000000010000000000000000fe00000000', 'hex')
  const script = randomFillSync(Buffer.alloc(bytes - head.length - 4))
  head.writeUInt32LE(script.length, head.length - 4)
  const transaction = Buffer.concat([head, script, Buffer.alloc(4)]).toString('hex')
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ transaction }),
  })
  if (!answer.ok) throw new Error(await answer.text())
  await answer.arrayBuffer()
}
