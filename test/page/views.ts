import { createHash } from 'node:crypto'
import type { InvoiceView } from '../../shared/invoice/view.ts'

const SCRIPT = '76a91489abcdefabbaabbaabbaabbaabbaabbaabbaabba88ac'
const ADDRESS = '1DYwPTpZuLjY2qApmJdHaSAuWRvEF5skCN'
const AT = Date.UTC(2026, 10, 28, 9, 0)
const DUE = 24_800

export const STATES = [
  'open',
  'underWay',
  'underpaid',
  'underpaidExpired',
  'paid',
  'overpaid',
  'late',
  'second',
  'expired',
  'cancelled',
] as const

/** An invoice of a coffee shop in a state, as the door shows it. */
export function viewOf(
  state: (typeof STATES)[number],
  url = 'http://localhost:3000/coffee/9x2Yk0mS3vQm1hK7pWc4Zg',
  more: Partial<InvoiceView> = {},
): InvoiceView {
  const id = url.split('/').at(-1)!
  const received = {
    open: 0,
    underWay: 0,
    underpaid: 20_000,
    underpaidExpired: 20_000,
    paid: DUE,
    overpaid: 30_000,
    late: DUE,
    second: 2 * DUE,
    expired: 0,
    cancelled: 0,
  }[state]
  return {
    id,
    pool: 'coffee',
    url,
    state: state === 'underWay' ? 'open' : state === 'underpaidExpired' ? 'underpaid' : state,
    ...(state === 'underWay' && { underWay: true }),
    ...(state === 'underpaidExpired' && { expired: true }),
    memo: '2 flat whites, 1 almond croissant',
    to: 'Corner Coffee',
    due: DUE,
    received,
    outputs: [{ satoshis: DUE, script: SCRIPT, address: ADDRESS }],
    createdAt: AT,
    expiresAt: AT + 15 * 60_000,
    merchantData: 'AWxvY2FsLXRlc3Q',
    uris: {
      page: url,
      pay: `pay:?r=${encodeURIComponent(url)}`,
      bip272: `bitcoin:?sv&r=${encodeURIComponent(url)}`,
      address: `bitcoin:${ADDRESS}?amount=0.000248`,
    },
    ...(received > 0 && {
      payment: {
        txid: createHash('sha256').update(state).digest('hex'),
        seq: 41,
        status: state === 'paid' ? 'seen' : 'sent',
        at: AT + 4 * 60_000,
      },
    }),
    page: { name: 'Corner Coffee' },
    ...more,
  }
}

/** The same with an output for each item. */
export const ITEMS: InvoiceView['outputs'] = [
  { satoshis: 16_800, script: SCRIPT, address: ADDRESS, description: '2 × flat white' },
  { satoshis: 8_000, script: SCRIPT, address: ADDRESS, description: 'Almond croissant' },
]
