import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import createTestnet from 'hyperdht/testnet.js'
import { Program } from '../program.ts'

// One publisher and one subscriber, alone on their network. Prints the time from the first of some posts to the last event, the number of events delivered, and
// the bytes that went over loopback.

export interface Wire {
  seconds: number
  delivered: number
  bytes: number
}

/** Events that have not come this long after the last one count as lost, ms. */
const GIVE_UP_MS = 20_000

const [installed, count] = [process.argv[2]!, Number(process.argv[3])]
const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
process.env.HOME = dir // the original writes into the home folder
const testnet = await createTestnet(4)
const bootstrap = `127.0.0.1:${testnet.bootstrap[0]!.port}`
const start = (name: string) =>
  installed ? Program.start('original-peer', installed, join(dir, name)) : Program.start('peer', join(dir, name), bootstrap)
const [publisher, subscriber] = [await start('publisher'), await start('subscriber')]
await subscriber.ask('sub', await publisher.ask<string>('pub'))
const first = await post(1) // now publisher and subscriber are connected
const before = bytesSoFar()
const { seconds, delivered } = await post(count)
console.log(JSON.stringify({ seconds, delivered: delivered - first.delivered, bytes: bytesSoFar() - before } satisfies Wire))
await Promise.all([publisher.kill(), subscriber.kill()])
rmSync(dir, { recursive: true, force: true })
process.exit()

/** Posts, and waits until all events are delivered or no more come. */
async function post(posts: number): Promise<{ seconds: number; delivered: number }> {
  const was = await subscriber.ask<number>('delivered')
  const begun = performance.now()
  await publisher.ask('post', { count: posts, inFlight: 16 })
  let [delivered, at] = [was, performance.now()]
  while (delivered < was + posts && performance.now() - at < GIVE_UP_MS) {
    await wait(20)
    const now = await subscriber.ask<number>('delivered')
    if (now > delivered) [delivered, at] = [now, performance.now()]
  }
  return { seconds: (at - begun) / 1_000, delivered }
}

function bytesSoFar(): number {
  const lo = readFileSync('/proc/net/dev', 'utf8').match(/^ *lo: *(\d+)/m)
  return Number(lo![1])
}
