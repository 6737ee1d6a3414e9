import { hash } from 'node:crypto'
import { type InvoiceView, progressOf } from '../../../shared/invoice/view.ts'
import { html, Markup } from '../html.ts'
import { contentOf, DONE, type Page } from './content.ts'
import { filled, LOCAL_WALLETS, type PageData } from './page-data.ts'
import { SCRIPT } from './script.ts'
import { LANGUAGES, type Strings } from './strings.ts'
import { colorStyle, STYLE } from './style.ts'

export interface PageOptions {
  /** what the browser's user reads, as its Accept-Language says; default: English */
  languages?: string | undefined
  /** whether `<url>/events` sends what becomes of the invoice; without it the page asks `<url>/state` again and again */
  events?: boolean
}

/** Seconds after which a browser without JavaScript looks again. */
const LOOK_AGAIN_S = 30

/**
 * The page of an invoice: what is due and how to pay it, or the receipt. It works without JavaScript, except for the Pay button. It loads nothing from other hosts, and whatever
 * an invoice says stays text.
 */
export function invoicePage(view: InvoiceView, { languages, events = false }: PageOptions = {}): string {
  const [language, strings] = languageFor(languages)
  const shown = shownState(view)
  const canPay = shown === 'open' || shown === 'underpaid'
  const page: Page = { view, strings, shown, canPay }
  const { status } = view.payment ?? {}
  const data: PageData = {
    path: new URL(view.url).pathname,
    progress: progressOf(view),
    isAwaited: canPay || shown === 'underWay',
    isSettled: shown === 'cancelled' || (DONE.has(shown) && status === 'mined'),
    events,
    to: view.to,
    memo: view.memo,
    outputs: view.outputs,
    merchantData: view.merchantData,
    expiresAt: view.expiresAt,
    strings: strings.script,
  }
  const colors = colorStyle(view.page?.colors)
  return html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${filled(strings.pageTitle, { title: strings.states[shown].title, to: view.to })}</title>
<link rel="icon" href="data:,">
${DONE.has(shown) ? '' : html`<noscript><meta http-equiv="refresh" content="${LOOK_AGAIN_S}; url=${data.path}"></noscript>`}
<style>${new Markup(STYLE)}</style>
${colors && html`<style>${new Markup(colors)}</style>`}
</head>
<body>
<p id="announcement" class="unseen" role="status"></p>
<main id="invoice" data-state="${shown}" data-invoice="${JSON.stringify(data)}">
${contentOf(page)}
</main>
<script>${new Markup(SCRIPT)}</script>
</body>
</html>
`.text
}

/** What a page says of its invoice: more than the state where the state alone does not tell what to do. */
function shownState({ state, underWay, expired }: InvoiceView): Page['shown'] {
  if (underWay && !DONE.has(state)) return 'underWay'
  return state === 'underpaid' && expired ? 'underpaidExpired' : state
}

/** The headers of the page: the browser runs our script and no other, and talks to this host and to the user's own wallet alone. */
export function invoicePageHeaders({ page }: Pick<InvoiceView, 'page'>): Record<string, string> {
  const colors = colorStyle(page?.colors)
  const policy = [
    "default-src 'none'",
    `script-src ${SCRIPT_SOURCE}`,
    `style-src ${STYLE_SOURCE}${colors && ` ${sourceOf(colors)}`}`,
    "img-src 'self' data:",
    `connect-src 'self' ${LOCAL_WALLETS.join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'x-robots-tag': 'noindex',
    'cache-control': 'no-store',
    vary: 'Accept, Accept-Language',
  }
}

/** How a policy names an inline script or style. */
function sourceOf(text: string): string {
  return `'sha256-${hash('sha256', text, 'base64')}'`
}

/** The first language of the browser that the page has. */
function languageFor(accepted = ''): [string, Strings] {
  const wanted = accepted.split(',').map((range) => range.split(/[-;]/)[0]!.trim().toLowerCase())
  const language = wanted.find((tag) => Object.hasOwn(LANGUAGES, tag)) ?? 'en'
  return [language, LANGUAGES[language]!]
}

const [SCRIPT_SOURCE, STYLE_SOURCE] = [sourceOf(SCRIPT), sourceOf(STYLE)]
