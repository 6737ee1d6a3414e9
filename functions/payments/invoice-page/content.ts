import type { InvoiceView } from '../../../shared/invoice/view.ts'
import { html, Markup, type Part } from '../html.ts'
import { filled } from './page-data.ts'
import { qrCode } from './qr.ts'
import type { Strings } from './strings.ts'

/** States in which a payment has come that nobody waits for any more. */
export const DONE = new Set<string>(['paid', 'overpaid', 'late', 'second'])
/** Characters of a memo, and items, that are shown. */
const [MAX_MEMO, MAX_ITEMS] = [500, 50]

/** A view, with what the page says about it. */
export interface Page {
  view: InvoiceView
  strings: Strings
  /** the state that the page speaks of */
  shown: keyof Strings['states']
  canPay: boolean
}

/** What stands on the page: the bill or the receipt, and for a bill the ways to pay it. */
export function contentOf(page: Page): Markup {
  const { view, strings, shown, canPay } = page
  const isDone = DONE.has(shown)
  return html`${header(page)}
<div class="card${canPay ? ' wide' : ''}">
<section class="bill" aria-labelledby="title">
${state(page)}
${amounts(page)}
<dl>
${view.memo === undefined ? '' : row(strings.for, html`<bdi>${view.memo.length > MAX_MEMO ? `${view.memo.slice(0, MAX_MEMO)}…` : view.memo}</bdi>`)}
${view.page?.name === undefined || view.page.name === view.to ? '' : row(strings.to, html`<bdi>${view.to}</bdi>`)}
${times(page)}
</dl>
${items(page)}
${isDone ? receipt(page) : ''}
${canPay ? payment(page) : ''}
</section>
${canPay ? otherDevices(page) : ''}
</div>
<footer>
<p>${fragment(strings.invoice, { id: html`<code>${view.id}</code>` })}</p>
${isDone ? '' : html`<noscript><p><a href="${new URL(view.url).pathname}">${strings.lookAgain}</a></p></noscript>`}
</footer>`
}

function header({ view: { page, to }, strings }: Page): Markup {
  return html`<header>${page?.logo === undefined ? '' : html`<img src="${page.logo}" alt="" width="48" height="48">`}<p><span>${strings.invoiceFrom}</span> <b><bdi>${page?.name ?? to}</bdi></b></p></header>`
}

function state({ view, strings, shown, canPay }: Page): Markup {
  const { title, means, todo } = strings.states[shown]
  const values = {
    to: view.to,
    received: grouped(view.received),
    missing: grouped(view.due - view.received),
    tooMuch: grouped(view.received - view.due),
  }
  const isRefused = view.payment?.status === 'rejected' || view.payment?.status === 'double-spent'
  return html`<div class="state">
${ICONS[iconOf(shown)]}
<h1 id="title" tabindex="-1">${title}</h1>
<p id="means">${filled(means, values)}</p>
${todo && html`<p class="todo">${filled(todo, values)}</p>`}
${isRefused ? html`<p class="todo">${filled(canPay ? strings.refusedPayAgain : strings.notOnChain, values)}</p>` : ''}
</div>`
}

function amounts({ view, strings, shown }: Page): Markup {
  const isWhole = shown === 'paid'
  const amount = isWhole ? view.received : view.due
  return html`<div class="amount">
<p><span>${isWhole ? strings.received : strings.due}</span> <b>${grouped(amount)}</b> ${strings.satoshis}</p>
<p>${bsvOf(amount)} BSV</p>
</div>`
}

function times({ view: { expiresAt, payment, received, due, state, expired }, strings, shown }: Page): Part {
  const isOver = state === 'expired' || expired
  const money = (satoshis: number) => html`${grouped(satoshis)} ${strings.satoshis}`
  return [
    received > 0 && shown !== 'paid' ? row(strings.received, money(received)) : '',
    shown === 'underpaid' || shown === 'underpaidExpired' ? row(strings.missing, money(due - received)) : '',
    shown === 'overpaid' ? row(strings.tooMuch, money(received - due)) : '',
    payment && DONE.has(shown) ? row(strings.paidAt, time(payment.at)) : '',
    expiresAt !== undefined && !DONE.has(shown) && shown !== 'cancelled'
      ? row(isOver ? strings.expiredAt : strings.until, html`${time(expiresAt)}${isOver ? '' : html`<span id="left"></span>`}`)
      : '',
  ]
}

/** What each output is for, if the invoice says so of more than one. */
function items({ view: { outputs }, strings }: Page): Part {
  if (outputs.length < 2 || !outputs.some(({ description }) => description)) return ''
  const lines = outputs
    .slice(0, MAX_ITEMS)
    .map(
      ({ description, satoshis }) => html`<li><bdi>${description ?? '–'}</bdi><span>${grouped(satoshis)} ${strings.satoshis}</span></li>\n`,
    )
  return html`<ul class="items" aria-label="${strings.items}">
${lines}${outputs.length > MAX_ITEMS && html`<li>…</li>`}</ul>`
}

function payment({ strings, shown }: Page): Markup {
  return html`<div class="pay">
<button type="button" id="pay" aria-describedby="note">${shown === 'underpaid' ? strings.payAgain : strings.pay}</button>
<p id="note" role="status">${strings.payNote}</p>
<noscript><p>${strings.needsScript}</p></noscript>
</div>`
}

/** The code, and what older wallets read. */
function otherDevices({ view: { uris, outputs, due, to, watched }, strings }: Page): Markup {
  const amount = bsvOf(due)
  const address = outputs.length === 1 ? outputs[0]!.address : undefined // who sends to an address makes one output
  return html`<section class="others">
<figure>${qrCode(uris.page, strings.qr)}<figcaption>${strings.scan}</figcaption></figure>
<details><summary>${strings.otherWays}</summary>
${
  address !== undefined
    ? html`<h2>${strings.address}</h2><p>${filled(watched ? strings.addressWatched : strings.addressNote, { amount, to })}</p>
${copied(address, strings.address, strings)}
<h2>${strings.amount}</h2>
${copied(amount, strings.amount, strings)}`
    : ''
}
${
  watched && uris.address !== undefined
    ? html`<h2>${strings.addressLink}</h2>
${uri(uris.address, strings.addressLink, strings)}`
    : ''
}
<h2>${strings.payLink}</h2>
${uri(uris.pay, strings.payLink, strings)}
<h2>${strings.bip272Link}</h2>
${uri(uris.bip272, strings.bip272Link, strings)}
</details>
</section>`
}

function receipt({ view: { payment, pool, uris }, strings }: Page): Markup {
  return html`<dl class="receipt">
${
  payment
    ? [
        row(strings.txid, copied(payment.txid, strings.txid, strings)),
        row(strings.network, html`<span id="network">${strings.statuses[payment.status ?? 'recorded']}</span>`),
        payment.seq === undefined ? '' : row(strings.place, filled(strings.placeOf, { seq: payment.seq, pool })),
      ]
    : ''
}
${row(strings.keepLink, html`${copied(uris.page, strings.keepLink, strings, html`<a href="${uris.page}">${uris.page}</a>`)}<small>${strings.keepNote}</small>`)}
</dl>`
}

function row(name: string, value: Part): Markup {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`
}

/** A text that can be copied. Without JavaScript it is marked as a whole by one click. */
function copied(text: string, label: string, { copy }: Strings, shown: Part = text): Markup {
  return html`<div class="copied"><code>${shown}</code>${copyButton(text, label, copy)}</div>`
}

/** A URI, on one line: it can be copied, and a wallet on this device opens it. */
function uri(text: string, label: string, { copy, open }: Strings): Markup {
  const link = /^(bitcoin|pay):/.test(text) && html`<a class="button" href="${text}" aria-label="${open}: ${label}">${open}</a>`
  return html`<div class="copied"><code class="line">${text}</code>${copyButton(text, label, copy)}${link}</div>`
}

function copyButton(text: string, label: string, copy: string): Markup {
  return html`<button type="button" data-copy="${text}" aria-label="${copy}: ${label}">${copy}</button>`
}

/** Markup with values in it that are markup themselves. */
function fragment(text: string, values: Record<string, Markup>): Part {
  return text.split(/\{(\w+)\}/).map((part, i) => (i % 2 ? values[part] : part))
}

/** A time. The script on the page writes it in the user's own time zone. */
function time(ms: number): Markup {
  const iso = new Date(ms).toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC</time>`
}

/** 12345678 as "12 345 678", with narrow spaces that do not break: they mean the same in each language. */
function grouped(satoshis: number): string {
  return String(satoshis).replace(/\B(?=(\d{3})+$)/g, '\u202f')
}

/** The amount in BSV, without zeros at its end. */
function bsvOf(satoshis: number): string {
  const digits = String(satoshis).padStart(9, '0')
  return `${digits.slice(0, -8)}.${digits.slice(-8)}`.replace(/\.?0+$/, '')
}

type Icon = 'wait' | 'done' | 'warn' | 'stop'

function iconOf(shown: Page['shown']): Icon {
  if (shown === 'open' || shown === 'underWay') return 'wait'
  if (shown === 'paid') return 'done'
  return shown === 'expired' || shown === 'cancelled' ? 'stop' : 'warn'
}

const icon = (paths: string) =>
  new Markup(
    `<svg class="icon" aria-hidden="true" viewBox="0 0 24 24" width="40" height="40" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"><circle cx="12" cy="12" r="10"/>${paths}</svg>`,
  )
const ICONS: Record<Icon, Markup> = {
  wait: icon('<path d="M12 7v5l3.5 2"/>'),
  done: icon('<path d="m7.5 12.5 3 3 6-6.5"/>'),
  warn: icon('<path d="M12 7v6M12 16.5v.1"/>'),
  stop: icon('<path d="m8.5 8.5 7 7m0-7-7 7"/>'),
}
