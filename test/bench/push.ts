import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number, quantile } from './report.ts'

/** Goals: lag of the slowest of a hundred deliveries, ms, and memory of a follower, bytes. */
const MOST_LAG_MS = 500
const MOST_BYTES = 100_000
/** Posts a second while the lag is measured. */
const RATE = 10
/** Posts that are made at one moment. */
const BURST = 200

/** A client that follows, and notes how old each event is when it is there. */
class BenchFollower {
  readonly socket: Socket
  count = 0
  #rest = ''

  constructor(url: URL, lags: number[]) {
    this.socket = connect(Number(url.port), url.hostname)
    this.socket.setEncoding('latin1')
    this.socket.write(`GET ${url.pathname}/events HTTP/1.1\r\nhost: ${url.host}\r\n\r\n`)
    this.socket.on('data', (chunk: string) => {
      const text = this.#rest + chunk
      let end = 0
      for (const { 0: whole, 1: at, index } of text.matchAll(/\ndata: [^\n]*?"at":(\d+)[^\n]*\n\n/g)) {
        lags.push(Date.now() - Number(at))
        this.count++
        end = index + whole.length
      }
      this.#rest = text.slice(end)
    })
  }
}

/** Many followers of one pool: how late they are, and what they cost. */
export async function push({ smoke }: Effort): Promise<Figures> {
  const [followers, seconds] = smoke ? [20, 1] : [1_000, 20]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const program = await Program.start('push', dir)
  const all: BenchFollower[] = []
  const lags: number[] = []
  try {
    const url = new URL(await program.ask<string>('url'))
    let from = 0
    const post = async (count: number) => {
      await program.ask('post', { from, count })
      from += count
    }
    await post(500) // warms up
    const alone = await program.ask<number>('memory')
    for (let i = 0; i < followers; i += 50) {
      const some = Array.from({ length: Math.min(50, followers - i) }, () => new BenchFollower(url, lags))
      await Promise.all(some.map(({ socket }) => once(socket, 'data')))
      all.push(...some)
    }
    await wait(500)
    const together = await program.ask<number>('memory')
    const begun = from
    const cpu = await cpuOf(program)
    for (let i = 0; i < seconds * RATE; i++) {
      const next = wait(1_000 / RATE)
      await post(1)
      await next
    }
    await delivered(all, from - begun)
    const steady = [...lags]
    const each = ((await cpuOf(program)) - cpu) / steady.length
    lags.length = 0
    const started = performance.now()
    await post(BURST)
    await delivered(all, from - begun)
    const burstMs = performance.now() - started
    const after = await program.ask<number>('memory')
    const ofFollower = Math.max(0, together - alone) / followers
    const missed = all.filter(({ count }) => count !== from - begun).length
    const p99 = quantile(steady, 0.99)
    const mb = (bytes: number) => number(bytes / 1e6)
    return {
      title: `push: ${number(followers)} followers of one pool on this computer, and ${RATE} posts a second for ${seconds} s`,
      rows: [
        ['', ''],
        ['deliveries a second', number(RATE * followers)],
        ['lag from the post to the follower, median, ms', number(median(steady))],
        ['lag, 99 of 100, ms', number(p99)],
        ['lag, the longest, ms', number(quantile(steady, 1))],
        ['processor time of the machine for a delivery, µs', number(each)],
        [`${BURST} posts at one moment: until the last follower has the last, ms`, number(burstMs)],
        ['  lag, 99 of 100, ms', number(quantile(lags, 0.99))],
        ['memory of the machine alone, MB', mb(alone)],
        ['  with its followers, MB', mb(together)],
        ['  after all of it, MB', mb(after)],
        ['  for each follower, kB', number(ofFollower / 1e3)],
      ],
      goals: [
        { what: `99 of 100 deliveries are at most ${MOST_LAG_MS} ms late`, met: p99 <= MOST_LAG_MS },
        { what: `a follower takes at most ${MOST_BYTES / 1e3} kB`, met: ofFollower <= MOST_BYTES },
        { what: 'each follower got each event once', met: missed === 0 },
      ],
    }
  } finally {
    for (const { socket } of all) socket.destroy()
    await program.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Waits until everybody has so many events. */
async function delivered(all: BenchFollower[], count: number): Promise<void> {
  const end = performance.now() + 60_000
  while (all.some((each) => each.count < count) && performance.now() < end) await wait(10)
}

async function cpuOf(program: Program): Promise<number> {
  const { user, system } = await program.ask<NodeJS.CpuUsage>('cpu')
  return user + system
}
