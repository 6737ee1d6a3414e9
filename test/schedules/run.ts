import { runSchedule } from './schedule.ts'
import type { Totals } from './spawn.ts'

// node run.ts <schedules> <first seed> [trace]: runs schedules, each with the next seed, until one breaks a law.
const [count = 1, first = 1] = process.argv.slice(2, 4).map(Number)
const trace = process.argv[4] === 'trace' ? console.log : undefined
const totals: Totals = { schedules: 0, entries: 0, acknowledged: 0, kills: 0, powerFailures: 0, steps: 0, again: 0, givenUp: 0 }
for (let seed = first; seed < first + count && !totals.broken; seed++) {
  const { broken: law, ...numbers } = await runSchedule(seed, trace)
  totals.schedules++
  for (const [name, number] of Object.entries(numbers)) totals[name as keyof typeof numbers] += number
  if (law) totals.broken = { seed, law }
}
console.log(JSON.stringify(totals))
