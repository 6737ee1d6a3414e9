import { createServer, type IncomingMessage, type Server } from 'node:http'
import { text } from 'node:stream/consumers'
import { html } from 'hono/html'
import type { Order, Orders } from './orders.ts'
import { PRICES } from './prices.ts'

/** What an answer is made of: a page, or a place to go to. */
type Answer = { status: number; page: unknown } | { to: string }

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  'cache-control': 'no-store',
}
const STYLE = `:root{color-scheme:light dark}body{font:17px/1.5 system-ui,sans-serif;max-width:28rem;margin:0 auto;padding:1.5rem 1rem}
h1{font-size:1.75rem;margin:.25rem 0 1rem}ul{list-style:none;margin:0;padding:0}li{display:flex;align-items:center;gap:1rem;padding:.75rem 0;border-bottom:1px solid #8884}
label{flex:1;display:flex;align-items:center;gap:1rem}label span{flex:1}small{opacity:.75}
input,button{font:inherit;padding:.5rem;border:1px solid #8888;border-radius:8px}input{width:4rem;text-align:end}
button{width:100%;margin-top:1.5rem;padding:.75rem;border:0;background:#6b3f1d;color:#fff;font-weight:600;cursor:pointer}`

/**
 * The shop's website: the price list, where people order, and the list of orders for who makes the coffee.
 * @param invoice makes an invoice for an order, and resolves to its URL: there the customer pays
 */
export function shop(orders: Orders, invoice: (order: Order) => Promise<string>): Server {
  return createServer(async (request, response) => {
    try {
      const answer = await answerTo(request)
      if ('to' in answer) response.writeHead(303, { location: answer.to }).end()
      else response.writeHead(answer.status, HEADERS).end(String(await answer.page))
    } catch (error) {
      console.error(error)
      response.writeHead(500, HEADERS).end('This did not work. Please try again.')
    }
  })

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    const [, folder, id] = request.url!.split('/')
    if (request.method === 'POST' && folder === 'orders') return order(new URLSearchParams(await text(request)))
    if (request.method !== 'GET') return { status: 405, page: pageOf('Not here', html`<p>Order on the <a href="/">price list</a>.</p>`) }
    if (folder === '') return { status: 200, page: priceList() }
    if (folder === 'orders' && id === undefined) return { status: 200, page: list(orders.list()) }
    return { status: 404, page: pageOf('Not here', html`<p>Look at the <a href="/">price list</a>.</p>`) }
  }

  async function order(form: URLSearchParams): Promise<Answer> {
    const placed = orders.place(Object.fromEntries([...form].map(([item, count]) => [item, Number(count)])))
    if (!placed)
      return { status: 422, page: pageOf('Nothing ordered', html`<p>Say how many you would like on the <a href="/">price list</a>.</p>`) }
    const url = await invoice(placed)
    orders.bill(placed.id, url)
    return { to: url }
  }
}

function priceList() {
  const lines = Object.entries(PRICES).map(
    ([item, satoshis]) =>
      html`<li><label><span>${item}<br><small>${satoshis.toLocaleString('en')} satoshis</small></span><input type="number" name="${item}" min="0" max="99" value="0" inputmode="numeric"></label></li>`,
  )
  return pageOf('Corner Coffee', html`<form method="post" action="/orders"><ul>${lines}</ul><button>Order and pay</button></form>`)
}

function list(orders: Order[]) {
  const lines = orders.map(
    ({ items, satoshis, invoice, txid }) =>
      html`<li><span>${items}<br><small>${satoshis.toLocaleString('en')} satoshis, ${txid === null ? 'not paid yet' : 'paid'}</small></span>${invoice === null ? '' : html`<a href="${invoice}">invoice</a>`}</li>`,
  )
  return pageOf('Orders', lines.length ? html`<ul>${lines}</ul>` : html`<p>There are none yet.</p>`)
}

function pageOf(title: string, content: unknown) {
  return html`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title><link rel="icon" href="data:,"><style>${STYLE}</style>
<h1>${title}</h1>
${content}</html>
`
}
