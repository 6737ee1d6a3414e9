import { KeptBudget, type Limits } from '../client/kept-budget.ts'
import { folderLayout, makeFolder } from '../local/folder.ts'
import { OverpoolError } from '../shared/errors.ts'
import { inLine } from '../shared/printed.ts'
import type { CommandContext } from './commands.ts'
import type { Where } from './machine.ts'
import type { Out } from './out.ts'

export interface BudgetFlags extends Limits {
  file?: string
  renew?: boolean
  release?: number
}

/** So many payments are shown. */
const LISTED = 20

/** Shows what agents may pay and have paid, and changes it. */
export function budget({ file, ...flags }: BudgetFlags, { where, out }: CommandContext): void {
  const kept = new KeptBudget(file ?? fileIn(where))
  try {
    change(kept, flags)
    show(kept, out)
  } finally {
    kept.close()
  }
}

function change(kept: KeptBudget, { renew, release, perCall, perDay }: BudgetFlags): void {
  if (perCall !== undefined || perDay !== undefined)
    kept.set({ ...(perCall !== undefined && { perCall }), ...(perDay !== undefined && { perDay }) })
  if (release !== undefined && !kept.release(release))
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `nothing is reserved for payment ${release}, so nothing can be released: \`overpool budget\` lists the payments`,
    )
  if (renew) kept.renew()
}

function show(kept: KeptBudget, out: Out): void {
  const standing = kept.standing()
  const payments = kept.list(LISTED)
  const { spent, left } = standing
  const limit = (value: number | undefined) => (value === undefined ? 'not set: nothing can be paid' : `${value} satoshis`)
  out.show(
    { ...standing, payments },
    [
      `per call  ${limit(standing.perCall)}`,
      `per day   ${limit(standing.perDay)}`,
      `spent     ${spent} satoshis in the last 24 hours; ${left} may be paid now`,
      ...payments.map(
        ({ id, at, satoshis, url, state, txid }) =>
          `payment ${id}  ${new Date(at).toISOString()}  ${satoshis} sat  ${stateOf[state]}  ${inLine(url)}${txid === undefined ? '' : `  ${txid}`}`,
      ),
    ].join('\n'),
  )
}

/** The budget of a machine in a folder. */
function fileIn(where: Where): string {
  if (where.stack !== undefined)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'a stack has no budget of its own: give the file that `overpool mcp --budget` uses on this computer, by --file',
    )
  makeFolder(where.dir)
  return folderLayout(where.dir).budget
}

const stateOf = {
  reserved: 'under way, or it is not known whether it was paid',
  paid: 'paid, no answer yet',
  answered: 'paid',
  released: 'not paid',
}
