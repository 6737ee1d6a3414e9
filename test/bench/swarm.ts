import { parseArgs } from 'node:util'
import { type Effort, type Figures, number, textOf } from './report.ts'
import { besideOriginal } from './swarm/against-original.ts'
import { catchUp } from './swarm/catch-up.ts'
import { contact } from './swarm/contact.ts'
import { live } from './swarm/live.ts'
import { restart } from './swarm/restart.ts'
import type { Line } from './swarm/world.ts'

const PARTS = { contact, 'catch-up': catchUp, live, original: besideOriginal, restart }

/** Measures pools that are replicated between machines, each a process of its own, over a DHT on loopback: first contact, catch-up, latency, bytes, and restarts. */
export async function swarm(effort: Effort, parts: readonly string[] = Object.keys(PARTS)): Promise<Figures> {
  const found: { lines: Line[]; goals: Figures['goals']; notes?: string[] }[] = []
  for (const part of parts) found.push(await PARTS[part as keyof typeof PARTS](effort))
  return {
    title: 'swarm: machines as processes over a DHT on loopback, synchronous=FULL on each; medians of rounds',
    rows: [
      ['', 'this one', 'compared with', 'ratio', ''],
      ...found
        .flatMap(({ lines }) => lines)
        .map(({ what, ours, reference, referenceName = '' }) => [
          what,
          figure(ours),
          figure(reference),
          reference === undefined ? '' : figure(ours / reference),
          referenceName,
        ]),
    ],
    goals: found.flatMap(({ goals }) => goals),
    notes: found.flatMap(({ notes = [] }) => notes),
  }
}

function figure(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? '' : number(value)
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { smoke: { type: 'boolean' } } })
  const effort = { smoke: values.smoke ?? false }
  console.log(textOf(await swarm(effort, positionals.length ? positionals : undefined), effort))
}
