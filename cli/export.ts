import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { RemoteMachine } from '../client/remote.ts'
import type { TxEvent } from '../shared/ledger/event.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'

/** How often `export --follow` looks for entries without being notified, ms. */
const LOOK_MS = 1_000

export type Format = 'tape' | 'jsonl' | 'csv'

/** An entry as a line of JSON: everything but `parsed`, which follows from the transaction. `import` and `post -` take it. */
export function entryLine({ path, key, seq, hash, id, at, source, cause, hops, payment }: TxEvent): string {
  return JSON.stringify({ path, key, seq, hash, id, at, source, cause, hops, payment })
}

/** Each format: its first line, if it has one, and the line of an entry. */
const FORMATS: Record<Format, { head?: string; line: (event: TxEvent) => string }> = {
  /** the original's tape.txt, byte for byte */
  tape: { line: ({ hash, at }) => `OVERPOOL ${hash} ${at}` },
  jsonl: { line: entryLine },
  csv: {
    head: 'seq,at,hash,source,hops,satoshis,memo',
    line: ({ seq, at, hash, source, hops, parsed, payment }) =>
      [seq, new Date(at).toISOString(), hash, source, hops, satoshisOf(parsed), cell(payment.memo ?? '')].join(','),
  },
}

/** Writes the transactions of a pool to standard output, oldest first; with `follow` also those that come. */
export async function exportPool(
  pool: string,
  { format, follow = false }: { format: Format; follow?: boolean },
  { where }: Pick<CommandContext, 'where'>,
  signal: AbortSignal,
): Promise<void> {
  await withMachine(where, async (machine) => {
    // The reader of the output sets the pace: a pool may be larger than the memory.
    await pipeline(Readable.from(linesOf(pool, format, follow, machine, signal)), process.stdout, { end: false })
  })
}

async function* linesOf(
  pool: string,
  format: Format,
  follow: boolean,
  machine: RemoteMachine,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { head, line } = FORMATS[format]
  await machine.pools.control(pool)
  if (head !== undefined) yield `${head}\n`
  for (let next = 0; !signal.aborted; ) {
    for await (const event of machine.pools.read({ path: pool, from: next })) {
      if (signal.aborted) return
      yield `${line(event)}\n`
      next = event.seq + 1
    }
    if (!follow) return
    await machine.changed(LOOK_MS, signal)
  }
}

function satoshisOf({ out }: TxEvent['parsed']): bigint {
  return out.reduce((sum, { e: { v } }) => sum + BigInt(v ?? 0), 0n)
}

/** A payer's text as a cell: a spreadsheet must not take it for a formula, nor a terminal for a command. */
function cell(text: string): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, ' ').replace(/^(?=[=+\-@])/, "'")
  return /[",]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}
