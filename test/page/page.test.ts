import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { invoicePage, invoicePageHeaders } from '../../functions/payments/invoice-page/page.ts'
import { LANGUAGES } from '../../functions/payments/invoice-page/strings.ts'
import { checkPageSettings } from '../../shared/invoice/page-settings.ts'
import type { InvoiceView } from '../../shared/invoice/view.ts'
import { bundledScript, SCRIPT_FILE } from './bundle.ts'
import { ITEMS, STATES, viewOf } from './views.ts'

const KB = 1_000
const textOf = (page: string) => page.replace(/<(script|style)>.*?<\/\1>|<[^>]*>/gs, ' ').replace(/\s+/g, ' ')

describe('the page of an invoice', () => {
  it('has the script that its sources make; `npm run page` makes it anew', async () => {
    expect(readFileSync(SCRIPT_FILE, 'utf8')).toBe(await bundledScript())
  })

  it.each(STATES)('says what its state means, and has less than 30 KB: %s', (state) => {
    const page = invoicePage(viewOf(state))
    const { title, means } = LANGUAGES.en!.states[state]
    expect(textOf(page)).toContain(title)
    expect(textOf(page)).toContain(means.split('{')[0])
    expect(textOf(page)).not.toMatch(/\{\w+\}|undefined|NaN/)
    expect(Buffer.byteLength(page)).toBeLessThan(30 * KB)
    expect(page.includes('id="pay"')).toBe(state === 'open' || state === 'underpaid')
  })

  it.each([
    ['expired', 'Ask Corner Coffee for a new invoice'],
    ['cancelled', 'ask for your money back'],
    ['late', 'they accept the payment or return it'],
    ['second', 'ask for the second payment back'],
    ['underpaid', 'Ask Corner Coffee what to do'],
    ['underpaidExpired', 'Do not pay now'],
    ['overpaid', 'to get back what was too much'],
    ['underWay', 'Do not pay again'],
  ] as const)('says what to do when it is %s', (state, todo) => {
    expect(textOf(invoicePage(viewOf(state)))).toContain(todo)
  })

  it.each(['rejected', 'double-spent'] as const)('says so when it is paid and the network has the payment %s', (status) => {
    const view = viewOf('paid')
    expect(textOf(invoicePage({ ...view, payment: { ...view.payment!, status } }))).toContain('the Bitcoin network has refused it')
  })

  it.each([
    [1, '1', '0.00000001'],
    [24_800, '24\u202f800', '0.000248'],
    [100_000_000, '100\u202f000\u202f000', '1'],
    [2_100_000_000_000_000, '2\u202f100\u202f000\u202f000\u202f000\u202f000', '21000000'],
    [0, '0', '0'],
  ])('shows %i satoshis in both units', (due, satoshis, bsv) => {
    const page = invoicePage(viewOf('open', undefined, { due }))
    expect(page).toContain(`<b>${satoshis}</b> satoshis`)
    expect(page).toContain(`<p>${bsv} BSV</p>`)
  })

  it('shows an address where one output to it pays the invoice, else what each output is for', () => {
    expect(invoicePage(viewOf('open'))).toContain('Copy: Address')
    const page = invoicePage(viewOf('open', undefined, { outputs: ITEMS }))
    expect(page).not.toContain('Copy: Address')
    expect(textOf(page)).toContain('2 × flat white 16 800 satoshis Almond croissant 8 000 satoshis')
  })

  it('links to the address only where what is sent there is noticed', () => {
    const link = 'href="bitcoin:'
    const [plain, watched] = [viewOf('open'), viewOf('open', undefined, { watched: true })]
    expect([invoicePage(plain), invoicePage(watched)].map((page) => page.includes(`${link}${plain.outputs[0]!.address}?amount=`))).toEqual([
      false,
      true,
    ])
  })

  it('lets no text of others become markup, whatever it is', () => {
    const markup = fc
      .array(
        fc.constantFrom('<', '>', '"', "'", '&', '</script>', '<!--', '-->', '</style>', ']]>', '\u0000', '\n', 'x', '=', '/', '`', '{to}'),
      )
      .map((parts) => parts.join(''))
    const tags = (page: string) => page.match(/<[^>]*>/g)!.map((tag) => tag.replace(/"[^"]*"/g, '""'))
    for (const outputs of [ITEMS, ITEMS.slice(0, 1)]) {
      const expected = tags(hostile('x', outputs))
      fc.assert(
        fc.property(markup, (text) => {
          expect(tags(hostile(`x${text}`, outputs))).toEqual(expected)
        }),
      )
    }
  })

  it('stays small, whatever others write', () => {
    const text = 'x'.repeat(100)
    const outputs = Array.from({ length: 100 }, (_, i) => ({ ...ITEMS[0]!, description: `${i} ${text}` }))
    const page = textOf(invoicePage(viewOf('open', undefined, { memo: text.repeat(100), outputs })))
    expect(page.length).toBeLessThan(10 * KB)
  })

  it('allows its own script and styles by their hashes, and nothing else', () => {
    const view = viewOf('open', undefined, { page: { colors: { accent: '#aabbcc' } } })
    const page = invoicePage(view)
    const policy = invoicePageHeaders(view)['content-security-policy']!
    const sources = (tag: string) =>
      [...page.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, 'gs'))].map(([, text]) => `'sha256-${hash('sha256', text!, 'base64')}'`)
    expect(policy).toContain(`script-src ${sources('script').join(' ')};`)
    expect(policy).toContain(`style-src ${sources('style').join(' ')};`)
    expect([sources('script').length, sources('style').length]).toEqual([1, 2])
    expect(policy).not.toMatch(/unsafe|\*/)
    expect(page).not.toMatch(/<[^>]+ (style|on\w+)=/)
  })

  it('names the shop with its logo and its colours, and the text on its button can be read', () => {
    const page = invoicePage(
      viewOf('open', undefined, { page: { name: 'Bar', logo: '/logo.svg', colors: { accent: '#ffee00', dark: '#220044' } } }),
    )
    expect(page).toContain('<img src="/logo.svg" alt="" width="48" height="48">')
    expect(page).toContain('--accent:#ffee00;--on-accent:#000')
    expect(page).toContain('--accent:#220044;--on-accent:#fff')
    expect(textOf(page)).toContain('To Corner Coffee') // the name at the top is another one
  })

  it.each(Object.keys(LANGUAGES))('has the same values in the texts of each language: %s', (language) => {
    expect(new Set(JSON.stringify(LANGUAGES[language]).match(/\{\w+\}/g))).toEqual(new Set(JSON.stringify(LANGUAGES.en).match(/\{\w+\}/g)))
    expect(textOf(invoicePage(viewOf('underpaid'), { languages: language }))).not.toMatch(/\{\w+\}|undefined/)
  })

  it('speaks the first language of the browser that it has', () => {
    expect(invoicePage(viewOf('open'), { languages: 'xx-YY, de-AT;q=0.7, en;q=0.5' })).toContain('<html lang="de">')
    expect(invoicePage(viewOf('open'), { languages: '__proto__, constructor' })).toContain('<html lang="en">')
  })
})

describe('the settings of the page', () => {
  it.each([
    {},
    { name: 'Corner Coffee', logo: '/logo.svg', colors: { accent: '#0A7f4f', dark: '#5ad19a' } },
    { logo: 'data:image/png;base64,iVBORw0KGgo=' },
    { logo: 'data:image/svg+xml,%3Csvg/%3E' },
  ])('are taken: %j', (settings) => {
    expect(checkPageSettings(settings, 'pools.coffee.page')).toEqual(settings)
  })

  it.each<[unknown, RegExp]>([
    ['x', /pools\.coffee\.page is an object/],
    [{ name: '' }, /page\.name/],
    [{ name: 'x'.repeat(101) }, /page\.name/],
    [{ logo: 'https://other.example/logo.png' }, /page\.logo/],
    [{ logo: '//other.example/logo.png' }, /page\.logo/],
    [{ logo: '/\\other.example/logo.png' }, /page\.logo/],
    [{ logo: '/\t/other.example/logo.png' }, /page\.logo/],
    [{ logo: 'data:text/html,<script>' }, /page\.logo/],
    [{ logo: 'javascript:alert(1)' }, /page\.logo/],
    [{ logo: `data:image/png;base64,${'A'.repeat(20_000)}` }, /page\.logo/],
    [{ colors: { accent: 'red}body{display:none' } }, /page\.colors\.accent/],
    [{ colors: { dark: '#fff' } }, /page\.colors\.dark/],
    [{ colors: [] }, /page\.colors is an object/],
    [{ colors: { text: '#000000' } }, /no setting `pools\.coffee\.page\.colors\.text`/],
    [{ color: '#000000' }, /no setting `pools\.coffee\.page\.color`; there are name, logo and colors/],
  ])('are refused: %j', (settings, why) => {
    expect(() => checkPageSettings(settings, 'pools.coffee.page')).toThrow(
      expect.objectContaining({ code: 'BAD_CONFIG', message: expect.stringMatching(why) }),
    )
  })
})

/** A page with a text wherever others choose one. */
function hostile(text: string, asked: InvoiceView['outputs']): string {
  const outputs = asked.map((output) => ({ ...output, description: text, address: text }))
  const uris = { page: text, pay: `pay:${text}`, bip272: `bitcoin:${text}`, address: text }
  return invoicePage(
    viewOf('open', undefined, { memo: text, to: text, merchantData: text, id: text, outputs, uris, page: { name: `${text}!` } }),
  )
}
