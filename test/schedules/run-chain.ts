import { runChainSchedule } from './chain-schedule.ts'
import type { ChainTotals } from './spawn.ts'

// node run-chain.ts <schedules> <first seed> [trace]: runs schedules, each with the next seed, until one breaks a law.
const [count = 1, first = 1] = process.argv.slice(2, 4).map(Number)
const trace = process.argv[4] === 'trace' ? console.log : undefined
const totals: ChainTotals = { schedules: 0, kills: 0, reorganisations: 0, statuses: 0 }
for (let seed = first; seed < first + count && !totals.broken; seed++) {
  const { broken: law, ...numbers } = await runChainSchedule(seed, trace)
  totals.schedules++
  for (const [name, number] of Object.entries(numbers)) totals[name as keyof typeof numbers] += number
  if (law) totals.broken = { seed, law }
}
console.log(JSON.stringify(totals))
