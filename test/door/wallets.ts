import type { Answer } from './ask.ts'

// Wallets that pay by BIP270, as their sources and documents have them: what each sends, byte for byte, what it refuses to read, and when it believes that it has paid.

export interface PaymentRequest {
  network: string
  outputs: { amount: number; script: string; description?: string }[]
  creationTimestamp: number
  expirationTimestamp?: number
  memo?: string
  paymentUrl: string
  merchantData: string
}

export interface PayingByBip270 {
  wallet: string
  source: string
  /** the headers of its GET */
  asks: Record<string, string>
  /** the network that it is told */
  network: 'bitcoin' | 'bitcoin-sv'
  /** whether it can read the request */
  reads: (request: PaymentRequest) => boolean
  /** the headers of its POST */
  pays: Record<string, string>
  body: (transaction: string, merchantData: string) => string
  /** whether it believes that the payment was sent */
  believes: (answer: Answer) => boolean
}

const isText = (value: unknown) => typeof value === 'string'
const isTextOrAbsent = (value: unknown) => value === undefined || isText(value)
const isNumberOrAbsent = (value: unknown) => value === undefined || Number.isInteger(value)
const isSuccess = ({ status }: Answer) => status >= 200 && status < 300
/** Python's `json.dumps`, which escapes what is not ASCII. */
const pythonJson = (text: string) =>
  JSON.stringify(text).replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

export const BIP270_WALLETS: PayingByBip270[] = [
  {
    wallet: 'ElectrumSV 1.3',
    source: 'electrumsv/paymentrequest.py',
    asks: { accept: 'application/bitcoinsv-paymentrequest', 'user-agent': 'ElectrumSV', 'accept-encoding': 'gzip, deflate' },
    network: 'bitcoin',
    reads: ({ network, outputs, creationTimestamp, expirationTimestamp, memo, paymentUrl, merchantData }) =>
      ['bitcoin', 'bitcoin-sv'].includes(network) &&
      Number.isInteger(creationTimestamp) &&
      isNumberOrAbsent(expirationTimestamp) &&
      [memo, merchantData].every(isTextOrAbsent) &&
      isText(paymentUrl) &&
      outputs.every(({ amount, description }) => Number.isInteger(amount) && pythonJson(description ?? '').length <= 100),
    pays: {
      'content-type': 'application/bitcoinsv-payment',
      accept: 'application/bitcoinsv-paymentack',
      'user-agent': 'ElectrumSV',
      'accept-encoding': 'gzip, deflate',
    },
    body: (transaction, merchantData) =>
      `{"merchantData": "${merchantData}", "transaction": "${transaction}", "memo": "Paid using ElectrumSV"}`,
    believes: ({ status, body }) =>
      [200, 201, 202].includes(status) && (body.success === true || (isText(body.payment?.transaction) && isTextOrAbsent(body.memo))),
  },
  {
    wallet: 'SimplyCash',
    source: 'simplycash/simplycashwallet, src/providers/wallet/wallet.ts',
    asks: { accept: 'application/bitcoinsv-paymentrequest, application/json', origin: 'http://localhost:8080' },
    network: 'bitcoin',
    reads: ({ network, outputs, creationTimestamp, expirationTimestamp, memo, paymentUrl, merchantData }) =>
      /^bitcoin([-_]?sv)?$/.test(network) &&
      outputs.length > 0 &&
      outputs.every(
        ({ amount, script, description }) => Number.isInteger(amount) && /^([0-9a-fA-F]{2})+$/.test(script) && isTextOrAbsent(description),
      ) &&
      Number.isInteger(creationTimestamp) &&
      isNumberOrAbsent(expirationTimestamp) &&
      [memo, merchantData].every(isTextOrAbsent) &&
      paymentUrl.startsWith('https://'),
    pays: {
      'content-type': 'application/bitcoinsv-payment',
      accept: 'application/bitcoinsv-paymentack, application/json',
      origin: 'http://localhost:8080',
    },
    body: (transaction, merchantData) => `{"merchantData":"${merchantData}","transaction":"${transaction}","refundTo":"name@simply.cash"}`,
    believes: (answer) => isSuccess(answer) && !(Number.isInteger(answer.body.error) && answer.body.error > 0),
  },
  {
    wallet: 'a C# wallet, BsvPoker',
    source: 'its Bip270.cs',
    asks: { accept: 'application/bitcoinsv-paymentrequest, application/json' },
    network: 'bitcoin',
    reads: ({ outputs, paymentUrl, merchantData }) =>
      outputs.length > 0 && outputs.every(({ amount }) => Number.isInteger(amount)) && isText(paymentUrl) && isTextOrAbsent(merchantData),
    pays: { 'content-type': 'application/bitcoinsv-payment; charset=utf-8' },
    body: (transaction, merchantData) =>
      `{"transaction":"${transaction}","merchantData":"${merchantData}","memo":"thanks","refundTo":"1DyEB1hNVmyTTrLaXuCGALyT3x8T8YGQyM"}`,
    believes: isSuccess,
  },
  {
    wallet: 'another C# wallet',
    source: 'its PayBip270',
    asks: { accept: 'application/bitcoinsv-paymentrequest, application/payment-request, application/json' },
    network: 'bitcoin',
    reads: ({ outputs }) => outputs.length > 0,
    pays: { 'content-type': 'application/bitcoinsv-payment; charset=utf-8' },
    body: (transaction, merchantData) => `{"transaction":"${transaction}","merchantData":"${merchantData}"}`,
    believes: isSuccess,
  },
  {
    wallet: 'HandCash, documents of 2020',
    source: 'handcash-merchant-integration, Merchant payments',
    asks: { accept: '*/*' },
    network: 'bitcoin-sv',
    reads: ({ network }) => network === 'bitcoin-sv',
    pays: { 'content-type': 'application/json' },
    body: (transaction) => `{"transaction": "${transaction}"}`,
    believes: (answer) => isSuccess(answer) && (answer.body.success === true || answer.body.payment !== undefined),
  },
  {
    wallet: 'the demos of Overpool',
    source: 'the demos of the original',
    asks: { accept: '*/*' },
    network: 'bitcoin-sv',
    reads: () => true,
    pays: { 'content-type': 'application/json' },
    body: (transaction) => `{"merchantData":null,"transaction":"${transaction}","refundTo":null,"memo":null}`,
    believes: ({ status }) => status === 200,
  },
]

const REFUND = '[{"script":"76a914fde8f61612beecbf7532765d17ce9c36c860187888ac"}]'
const atLimits = { merchantData: 'm'.repeat(10_000), refundTo: 'r'.repeat(100), memo: '☕'.repeat(10_000) }

/** Other forms of a Payment, and what the PaymentACK repeats of each. */
export const FORMS: [about: string, body: (transaction: string) => string, copy: (transaction: string) => object][] = [
  [
    'of ElectrumSV, where the request has no merchantData',
    (transaction) => `{"merchantData": null, "transaction": "${transaction}", "memo": "Paid using ElectrumSV"}`,
    (transaction) => ({ merchantData: null, transaction, memo: 'Paid using ElectrumSV' }),
  ],
  [
    'of 2019: merchantData an object, refundTo a list',
    (transaction) => `{"transaction":"${transaction}","merchantData":{"order":[7,{"a":null}]},"refundTo":${REFUND}}`,
    (transaction) => ({ transaction, merchantData: { order: [7, { a: null }] }, refundTo: JSON.parse(REFUND) as object }),
  ],
  [
    'of 2019: transactions a list',
    (transaction) => `{"transactions":["${transaction}"],"memo":"x"}`,
    (transaction) => ({ transaction, memo: 'x' }),
  ],
  [
    'with a field that is not known',
    (transaction) => `{"transaction":"${transaction}","later":{"a":1},"req":1}`,
    (transaction) => ({ transaction }),
  ],
  ['with hex in capitals', (transaction) => `{"transaction":"${transaction.toUpperCase()}"}`, (transaction) => ({ transaction })],
  ['at its limits', (transaction) => JSON.stringify({ transaction, ...atLimits }), (transaction) => ({ transaction, ...atLimits })],
]

/** What a GET is answered with (BIP273). */
export const CLIENTS: [client: string, headers: Record<string, string>, type: string][] = [
  ...BIP270_WALLETS.map(({ wallet, asks }): [string, Record<string, string>, string] => [wallet, asks, 'application/json']),
  ['curl', { accept: '*/*' }, 'application/json'],
  ['a program without Accept', {}, 'application/json'],
  ['a reader of URIs', { accept: 'text/uri-list' }, 'text/uri-list'],
  [
    'a browser: that of a phone, or of Nexus and BSV Browser',
    { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' },
    'text/html; charset=utf-8',
  ],
  ['a wallet in a browser', { accept: 'text/html, application/bitcoinsv-paymentrequest' }, 'application/json'],
]
