import { OverpoolError } from '../shared/errors.ts'
import type { InvoiceStatus } from '../shared/machine/invoices.ts'
import { inLine } from '../shared/printed.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'

export interface InvoiceFlags {
  memo?: string
  address?: string
  /** minutes */
  expires?: number
  id?: string
  list?: boolean
  get?: string
  cancel?: string
}

/** Makes an invoice, or shows or cancels one. */
export async function invoice(
  pool: string,
  amount: number | undefined,
  flags: InvoiceFlags,
  { where, out }: CommandContext,
): Promise<void> {
  const { memo, address, expires, id, list, get, cancel } = flags
  const asked = [list, get !== undefined, cancel !== undefined, amount !== undefined].filter(Boolean).length
  if (asked !== 1)
    throw new OverpoolError('BAD_ARGUMENT', 'say one thing: an amount in satoshis to ask for, --list, --get <id> or --cancel <id>')
  await withMachine(where, async ({ pools }) => {
    const show = (status: InvoiceStatus, lines = linesOf(status)) => out.show(status, lines.join('\n'))
    if (get !== undefined) return show(await pools.invoice.get({ path: pool, id: get }))
    if (cancel !== undefined) return show(await pools.invoice.cancel({ path: pool, id: cancel }))
    if (list) return showAll(pool, (after) => pools.invoice.list({ path: pool, ...(after !== undefined && { after }) }), out)
    const outputs = [{ amount: amount!, ...(address !== undefined && { address }) }]
    const terms = { outputs, ...(memo !== undefined && { memo }), ...(expires !== undefined && { expiresIn: expires * 60_000 }) }
    return show(await pools.invoice({ path: pool, ...terms, ...(id !== undefined && { id }) }))
  })
}

async function showAll(pool: string, page: (after?: string) => Promise<InvoiceStatus[]>, out: CommandContext['out']): Promise<void> {
  let all = await page()
  if (!all.length) return out.say(`no invoices in ${pool}`)
  for (; all.length; all = await page(all.at(-1)!.id))
    for (const status of all)
      out.show(
        status,
        `${status.id}  ${status.state}  ${status.received} of ${status.due} satoshis${status.memo === undefined ? '' : `  ${inLine(status.memo)}`}`,
      )
}

function linesOf({ id, state, underWay, expired, due, received, memo, url, uri, outputs, expiresAt, payment }: InvoiceStatus): string[] {
  const address = outputs.length === 1 ? outputs[0]!.address : undefined
  return [
    `invoice   ${id}`,
    `state     ${state}${expired ? ', and its time is over' : ''}${underWay ? ', its entry is on its way into the ledger' : ''}`,
    `due       ${due} satoshis${received ? `, and ${received} have come` : ''}`,
    ...(memo === undefined ? [] : [`for       ${inLine(memo)}`]),
    ...(expiresAt === undefined ? [] : [`until     ${new Date(expiresAt).toISOString()}`]),
    `page      ${url}`,
    ...(state === 'open' ? [`wallets   ${uri}`] : []),
    ...(address === undefined ? [] : [`address   ${address}`]),
    ...(payment === undefined
      ? []
      : [`paid by   ${payment.txid}${payment.seq === undefined ? '' : `, entry ${payment.seq}, ${payment.status}`}`]),
  ]
}
