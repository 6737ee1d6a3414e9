import { OverpoolError } from '../shared/errors.ts'
import { type CommandContext, type PostFlags, post, readInput } from './commands.ts'
import { postEntries } from './import.ts'

/** Posts a transaction; or, from standard input, entries that `overpool pull` has printed: each keeps its id, cause and time, so that the same one twice is one entry. */
export async function postAny(pool: string, transaction: string | undefined, flags: PostFlags, context: CommandContext): Promise<void> {
  const input = pool === '-' || transaction === '-' ? readInput('-') : undefined
  if (input && isEntries(input)) return postPulled(pool, input, flags, context)
  if (pool === '-')
    throw new OverpoolError('BAD_ARGUMENT', 'name a pool: it can be left out only for an entry that `overpool pull` has printed')
  return post(pool, transaction, flags, context, input)
}

async function postPulled(pool: string, input: Buffer, flags: PostFlags, context: CommandContext): Promise<void> {
  if (Object.keys(flags).some((name) => name !== 'config'))
    throw new OverpoolError('BAD_ARGUMENT', 'an entry of `overpool pull` is posted as it is: leave out the options')
  await postEntries(pool === '-' ? undefined : pool, input.toString(), context)
}

/** Entries in JSON, as `overpool pull` prints them. No transaction begins so. */
function isEntries(bytes: Buffer): boolean {
  return /^\s*{\s*"/.test(bytes.subarray(0, 100).toString('latin1'))
}
