import type { McpServer } from '@modelcontextprotocol/server'
import { z } from 'zod'
import type { InvoiceStatus } from '../../shared/machine/invoices.ts'
import { answer, answering, shown, UNTRUSTED } from './answer.ts'
import type { McpDoor } from './door.ts'
import { POOL } from './entries.ts'
import { SECONDS, waited } from './wait.ts'

const STATE = z
  .enum(['open', 'underpaid', 'paid', 'overpaid', 'late', 'second', 'expired', 'cancelled'])
  .describe('paid or overpaid: the payment is in the pool. The status of the payment says whether the Bitcoin network takes it')
const INVOICE = z.object({
  pool: z.string(),
  id: z.string(),
  state: STATE,
  due: z.number().describe('satoshis that are asked for'),
  received: z.number().describe('satoshis that were paid'),
  url: z.string().describe('give this to the payer: it is a page for people, and wallets and pay_invoice take it'),
  uri: z.string().describe('the same for wallets without a page'),
  address: z.string().optional(),
  memo: z.string().optional().describe('what it is for, as its maker wrote it'),
  expires_at: z.string().optional(),
  payment: z.object({ txid: z.string(), seq: z.int().optional(), status: z.string().optional() }).optional(),
})
const ID = z.string().min(1).max(200).describe('of the invoice: as make_invoice returned it, or the name that it was made with')

/** The tools that look at invoices. */
export function addInvoiceReading(server: McpServer, door: McpDoor): void {
  server.registerTool(
    'get_invoice',
    {
      title: 'Look at an invoice',
      description: `Shows an invoice of a pool, and whether it was paid. ${UNTRUSTED}`,
      inputSchema: z.strictObject({ pool: POOL, id: ID }),
      outputSchema: INVOICE,
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    ({ pool, id }) =>
      answering(async () => {
        const { pools } = await door.machine()
        return shownInvoice(await pools.invoice.get({ path: pool, id }))
      }),
  )
  server.registerTool(
    'wait_for_payment',
    {
      title: 'Wait for a payment',
      description:
        'Waits until an invoice is paid, cancelled or has expired, and returns it. After the time-out it returns the invoice as it is, with `timed_out`: call again to go on waiting.',
      inputSchema: z.strictObject({
        pool: POOL,
        id: ID,
        until: z
          .enum(['paid', 'seen', 'mined'])
          .default('paid')
          .describe('paid: the payment is in the pool. seen: the Bitcoin network has it. mined: a block has it'),
        timeout_seconds: SECONDS,
      }),
      outputSchema: INVOICE.extend({ timed_out: z.boolean() }),
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    ({ pool, id, until, timeout_seconds }, ctx) =>
      answering(async () => {
        const machine = await door.machine()
        const look = () => machine.pools.invoice.get({ path: pool, id })
        const ended = await waited(machine, timeout_seconds, ctx, async () => {
          const now = await look()
          return isOver(now, until) ? now : undefined
        })
        return shownInvoice(ended ?? (await look()), { timed_out: ended === undefined })
      }),
  )
}

/** The tool that makes an invoice. */
export function addInvoiceMaking(server: McpServer, door: McpDoor): void {
  server.registerTool(
    'make_invoice',
    {
      title: 'Make an invoice',
      description:
        'Asks somebody for money: makes an invoice in a pool of this machine, and returns the URL at which it is paid. Give the URL to the payer; then wait_for_payment.',
      inputSchema: z.strictObject({
        pool: POOL,
        satoshis: z.int().min(1).max(2_100_000_000_000_000).describe('how much to ask for'),
        memo: z.string().max(1_000).optional().describe('what it is for: the payer sees it'),
        expires_minutes: z.number().positive().max(5_000_000).optional().describe('until when it can be paid; default: no end'),
        data: z.record(z.string(), z.json()).optional().describe('JSON that comes back with the payment; the payer can read it'),
        id: z
          .string()
          .min(1)
          .max(200)
          .optional()
          .describe(
            'a name of your choice: a second call with it returns the first invoice. Give one, so that you can safely repeat a call',
          ),
      }),
      outputSchema: INVOICE,
      annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
    },
    ({ pool, satoshis, memo, expires_minutes, data, id }) =>
      answering(async () => {
        const { pools } = await door.machine()
        const terms = {
          amount: satoshis,
          ...(memo !== undefined && { memo }),
          ...(expires_minutes !== undefined && { expiresIn: Math.ceil(expires_minutes * 60_000) }),
          ...(data && { data }),
        }
        return shownInvoice(await pools.invoice({ path: pool, ...terms, ...(id !== undefined && { id }) }))
      }),
  )
}

function isOver({ state, expired, payment }: InvoiceStatus, until: 'paid' | 'seen' | 'mined'): boolean {
  if (state === 'expired' || state === 'cancelled' || state === 'late' || expired) return true
  if (state !== 'paid' && state !== 'overpaid') return false
  if (until === 'paid') return true
  return payment?.status === 'mined' || (until === 'seen' && payment?.status === 'seen')
}

function shownInvoice({ path, id, state, due, received, url, uri, outputs, memo, expiresAt, payment }: InvoiceStatus, more: object = {}) {
  const address = outputs.length === 1 ? outputs[0]!.address : undefined
  const { txid, seq, status } = payment ?? {}
  const shownPayment =
    txid === undefined ? {} : { payment: { txid, ...(seq !== undefined && { seq }), ...(status !== undefined && { status }) } }
  const result = {
    pool: path,
    id,
    state,
    due,
    received,
    url,
    uri,
    ...(address !== undefined && { address }),
    ...(memo !== undefined && { memo: shown(memo) }),
    ...(expiresAt !== undefined && { expires_at: new Date(expiresAt).toISOString() }),
    ...shownPayment,
    ...more,
  }
  return answer(
    result,
    `invoice ${id} is ${state}: ${received} of ${due} satoshis. It is paid at ${url}${txid === undefined ? '' : `; paid by ${txid}`}`,
  )
}
