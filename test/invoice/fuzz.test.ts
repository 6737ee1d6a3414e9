import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HD } from '@bsv/sdk'
import { afterAll, describe } from 'vitest'
import { answerAtDoor } from '../../functions/payments/door.ts'
import { Quotas } from '../../functions/payments/quotas.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { type ErrorCode, OverpoolError } from '../../shared/errors.ts'
import { newInvoiceId } from '../../shared/invoice/invoice.ts'
import { Receiver } from '../../shared/invoice/receive.ts'
import type { TokenKeys } from '../../shared/invoice/token.ts'
import { Invoicing } from '../../shared/machine/invoicing.ts'
import { fuzz } from '../fuzz.ts'

// What comes from whoever asks for a payment request, and from whoever pays one, with mutations: queries, headers, URLs and merchantData.

const [NEWER, OLDER] = [Buffer.alloc(32, 2), Buffer.alloc(32, 1)]
const XPUB = HD.fromSeed([...Buffer.alloc(32, 3)])
  .toPublic()
  .toString()

const dir = mkdtempSync(join(tmpdir(), 'overpool-fuzz-'))
const ledger = openLedgerFile(dir)
afterAll(() => {
  ledger.close()
  rmSync(dir, { recursive: true })
})

const invoicingWith = (...keys: Buffer[]) => {
  const receiver = new Receiver(XPUB)
  return new Invoicing({
    stores: ledger.stores,
    now: Date.now,
    keys: async () => keys as unknown as TokenKeys,
    receiver: async () => receiver,
  })
}
const invoicing = invoicingWith(NEWER, OLDER)

/** Asks for whatever its query says. */
const request = ({ cups = '1', memo, expiresIn, address, ...data }: Record<string, string>) =>
  cups === '0'
    ? undefined
    : {
        outputs: [
          { amount: 100 * Number(cups), ...(address !== undefined && { address }), ...(memo !== undefined && { description: memo }) },
        ],
        ...(memo !== undefined && { memo }),
        ...(expiresIn !== undefined && { expiresIn: Number(expiresIn) }),
        data,
      }
const pools = [{ path: 'coffee', ...checkSettings({ request, page: { name: 'Corner Coffee' } }, '') }]

/** A GET at the door: it is answered, or refused by a code. */
async function get(path: string, query = '', headers: Record<string, string | undefined> = { host: 'pay.example' }): Promise<string> {
  const answer = await answerAtDoor(
    { method: 'GET', path, query, header: (name) => headers[name], body: async () => Buffer.alloc(0) },
    {
      pool: (name) => pools.find((pool) => pool.path === name),
      pools: () => pools,
      ingress: ledger.ingress,
      ancestors: ledger.stores.ancestors,
      invoicing,
      now: Date.now,
      quotas: new Quotas(),
      log: (error) => {
        throw error // a failure of ours
      },
    },
  )
  if (answer.status < 400) return answer.body!
  throw new OverpoolError((JSON.parse(answer.body!) as { code: ErrorCode }).code, 'refused')
}

const { merchantData: token } = JSON.parse(await get('/coffee', 'cups=2&memo=tea')) as { merchantData: string }
const madeBefore = async (data: unknown) => {
  const before = invoicingWith(OLDER)
  const asked = (await before.request('coffee', { amount: 500, memo: 'x'.repeat(50), data }, {}))!
  return (await before.view(asked, undefined, { base: '' })).merchantData
}
const tokens = [token, await madeBefore({ order: 7 }), await madeBefore('x'.repeat(5_000))]
const kept = newInvoiceId()
await invoicing.make('coffee', { outputs: [{ amount: 700 }] }, kept)

/** Nobody but the machine writes merchantData: an invoice comes out of none but that which it has signed. */
function checkOwn(text: string): void {
  if (!tokens.includes(text)) throw new Error(`an invoice comes out of ${text}, which nobody has signed`)
}

describe('payment requests', () =>
  fuzz([
    {
      name: 'the query of a request',
      code: ['BAD_PAYMENT', 'METHOD_NOT_ALLOWED'],
      honest: [
        '',
        'cups=2',
        'cups=3&memo=an%20espresso+%E2%98%95&table=7',
        'cups=1&expiresIn=60000&note=%7B%22a%22%3A1%7D',
        'cups=5&address=12ZEw5Hcv1hTb6YUQJ69y1V7uhcoDz92PH',
        `cups=1&${Array.from({ length: 40 }, (_, n) => `field${n}=${n}`).join('&')}`,
      ].map((query) => Buffer.from(query)),
      read: (bytes) => get('/coffee', bytes.toString('latin1')),
    },
    {
      name: 'the headers of a request',
      code: 'MALFORMED_PAYMENT',
      honest: [
        ['application/bitcoinsv-paymentrequest', '', 'pay.example', ''],
        ['application/bitcoinsv-paymentrequest, application/json', 'en', '127.0.0.1:3000', 'https'],
        ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'de-AT,de;q=0.8,en-US;q=0.5', 'pay.example:443', 'https, http'],
        ['text/uri-list', '*', '[2001:db8::7]:8080', 'http'],
      ].map((headers) => Buffer.from(headers.join('\n'))),
      read: async (bytes) => {
        const [accept, language, host, proto] = bytes.toString('latin1').split('\n')
        const said = await get('/coffee', '', { accept, 'accept-language': language, host, 'x-forwarded-proto': proto })
        if (/<(img|iframe|object)/i.test(said)) throw new Error('a header has become markup')
      },
    },
    {
      name: 'the URL of a request or an invoice',
      code: ['INVOICE_NOT_FOUND', 'POOL_NOT_FOUND', 'METHOD_NOT_ALLOWED'],
      honest: [...tokens, kept].flatMap((place) => ['', '/state'].map((part) => Buffer.from(`/coffee/${place}${part}`))),
      read: (bytes) => get(bytes.toString('latin1')),
    },
    {
      name: 'merchantData',
      code: 'BAD_PAYMENT',
      honest: tokens.map((one) => Buffer.from(one)),
      read: async (bytes) => {
        const text = bytes.toString('latin1')
        if (await invoicing.askedBy('coffee', undefined, text)) checkOwn(text)
      },
    },
    {
      name: 'merchantData as the last part of a URL',
      code: 'INVOICE_NOT_FOUND',
      honest: tokens.map((one) => Buffer.from(one)),
      read: async (bytes) => {
        const text = bytes.toString('latin1')
        await invoicing.open('coffee', text)
        checkOwn(text)
      },
    },
  ]))
