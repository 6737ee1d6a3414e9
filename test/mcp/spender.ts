// Spends from a budget as fast as it can, until nothing is left: sets money aside, then pays, which is a line in a file. The test kills it at any instant.

import { appendFileSync } from 'node:fs'
import { setTimeout as turn } from 'node:timers/promises'
import { KeptBudget } from '../../client/kept-budget.ts'
import { OverpoolError } from '../../shared/errors.ts'

const [file = '', paidFile = ''] = process.argv.slice(2)
using budget = new KeptBudget(file)
process.stdout.write('begins\n')
try {
  while (true) {
    const satoshis = 1 + Math.floor(Math.random() * 9)
    const id = budget.reserve({ satoshis, url: 'https://shop.example/', purpose: String(process.pid), limits: {} })
    appendFileSync(paidFile, `${satoshis}\n`)
    budget.paid(id, { txid: '00', receipt: {} })
    await turn() // the others have theirs
  }
} catch (error) {
  if (!(error instanceof OverpoolError && error.code === 'BUDGET_EXCEEDED')) throw error
}
