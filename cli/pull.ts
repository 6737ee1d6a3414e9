import { OverpoolError } from '../shared/errors.ts'
import { inLine } from '../shared/printed.ts'
import type { CommandContext } from './commands.ts'
import { entryLine } from './export.ts'
import { withMachine } from './machine.ts'

/** Prints an entry as JSON, with its id, cause and time: `overpool post -` makes the same entry on another machine. */
export async function pull(pool: string, seq: number, { where }: Pick<CommandContext, 'where'>): Promise<void> {
  await withMachine(where, async ({ pools }) => {
    const { path } = await pools.control(pool)
    for await (const event of pools.read({ path, from: seq, to: seq + 1, kinds: 'all' })) {
      if (event.kind !== 'tx')
        throw new OverpoolError(
          'BAD_ARGUMENT',
          `#${seq} of ${path} has the kind "${inLine(event.kind)}": only transactions ("tx") can be posted`,
        )
      process.stdout.write(`${entryLine(event)}\n`)
      return
    }
    throw new OverpoolError('ENTRY_NOT_FOUND', `${path} has no entry #${seq}, or it is archived`)
  })
}
