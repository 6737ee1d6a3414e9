import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { seed } from '../random.ts'
import { chainSchedulesOf, schedulesOf } from './spawn.ts'

/** Schedules of the chain. Each is ten times as long as another one, and a part of the others. */
const CHAIN_SHARE = 0.15
/** OVERPOOL_SCHEDULES=20000 makes a long run. OVERPOOL_SCHEDULES=1 with OVERPOOL_SEED=<the seed of a broken schedule> repeats that schedule. */
const SCHEDULES = Number(process.env.OVERPOOL_SCHEDULES ?? 2_000)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

it(`the writer and the runner break no law in ${SCHEDULES} schedules of crashes, lost disks, lost power, duplicate processes, and calls that fail or get no answer`, {
  timeout: SCHEDULES * 300 + 120_000,
}, async () => {
  console.log(`${SCHEDULES} schedules, seed ${seed}`)
  const share = Math.ceil(SCHEDULES / Math.min(SCHEDULES, availableParallelism()))
  const firsts = Array.from({ length: Math.ceil(SCHEDULES / share) }, (_, i) => i * share)
  const parts = await Promise.all(firsts.map((first) => schedulesOf(ROOT, Math.min(share, SCHEDULES - first), seed + first)))
  const sum = (of: 'entries' | 'acknowledged' | 'kills' | 'powerFailures' | 'again' | 'givenUp') =>
    parts.reduce((total, part) => total + part[of], 0)
  const said = `${sum('entries')} entries, ${sum('acknowledged')} posts acknowledged, ${sum('kills')} processes killed, the power failed ${sum('powerFailures')} times, ${sum('again')} runs of handlers again, ${sum('givenUp')} given up`
  console.log(said)
  for (const { broken } of parts) {
    if (broken)
      expect.fail(
        `${broken.law}\nsee it: node test/schedules/run.ts 1 ${broken.seed} trace (or this test with OVERPOOL_SCHEDULES=1 OVERPOOL_SEED=${broken.seed})`,
      )
  }
  if (SCHEDULES >= 100)
    for (const of of ['entries', 'acknowledged', 'kills', 'powerFailures', 'again', 'givenUp'] as const)
      expect(sum(of), of).toBeGreaterThan(SCHEDULES / 4)
})

const CHAIN_SCHEDULES = Math.ceil(SCHEDULES * CHAIN_SHARE)

it(`the chain follower, the broadcaster and the tracker break no law in ${CHAIN_SCHEDULES} schedules of crashes, reorganisations, double spends, and calls that fail or get no answer`, {
  timeout: CHAIN_SCHEDULES * 1_000 + 120_000,
}, async () => {
  const share = Math.ceil(CHAIN_SCHEDULES / Math.min(CHAIN_SCHEDULES, availableParallelism()))
  const firsts = Array.from({ length: Math.ceil(CHAIN_SCHEDULES / share) }, (_, i) => i * share)
  const parts = await Promise.all(firsts.map((first) => chainSchedulesOf(ROOT, Math.min(share, CHAIN_SCHEDULES - first), seed + first)))
  const sum = (of: 'kills' | 'reorganisations' | 'statuses') => parts.reduce((total, part) => total + part[of], 0)
  console.log(`${sum('statuses')} statuses, ${sum('reorganisations')} reorganisations, ${sum('kills')} machines killed, seed ${seed}`)
  for (const { broken } of parts) if (broken) expect.fail(`${broken.law}\nsee it: node test/schedules/run-chain.ts 1 ${broken.seed} trace`)
  if (CHAIN_SCHEDULES >= 100)
    for (const of of ['kills', 'reorganisations', 'statuses'] as const) expect(sum(of), of).toBeGreaterThan(CHAIN_SCHEDULES)
})
