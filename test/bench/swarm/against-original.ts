import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installOriginal } from '../original.ts'
import type { Wire } from '../programs/wire.ts'
import type { Effort, Goal } from '../report.ts'
import type { Line } from './world.ts'

const WIRE = fileURLToPath(new URL('../programs/wire.ts', import.meta.url))
/** Sets up loopback. The route is for multicast, by which the original looks for peers, too. */
const ON_LOOPBACK = 'ip link set lo up && ip route add 224.0.0.0/4 dev lo && exec "$0" "$@"'

/** Sends posts to one subscriber, with each of the two packages in a network namespace that has only loopback. */
export async function besideOriginal({ smoke }: Effort): Promise<{ lines: Line[]; goals: Goal[]; notes?: string[] }> {
  const count = smoke ? 20 : 1_000
  const installed = await installOriginal()
  let original: Wire
  let ours: Wire
  try {
    ours = await alone('', count)
    original = await alone(installed, count)
  } catch (error) {
    return {
      lines: [],
      goals: [],
      notes: [`the original was left out: it needs a network namespace of its own (Linux, unshare, ip): ${String(error).slice(0, 300)}`],
    }
  }
  const what = `${count} posts to one subscriber`
  const line = (figure: string, of: keyof Wire): Line => ({
    what: `${what}: ${figure}`,
    ours: ours[of],
    reference: original[of],
    referenceName: 'original 0.0.6',
  })
  return {
    lines: [line('s until the last arrived', 'seconds'), line('events delivered', 'delivered'), line('bytes on the wire', 'bytes')],
    goals: [{ what: `${what}: every event delivered`, met: ours.delivered === count }],
  }
}

async function alone(installed: string, count: number): Promise<Wire> {
  const flags = process.getuid?.() === 0 ? ['-n'] : ['-rn']
  const { stdout } = await promisify(execFile)('unshare', [
    ...flags,
    'sh',
    '-c',
    ON_LOOPBACK,
    process.execPath,
    WIRE,
    installed,
    String(count),
  ])
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Wire
}
