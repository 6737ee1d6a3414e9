import type { TxEvent } from '../../shared/ledger/event.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { escaped } from './html.ts'

export interface PoolPage {
  path: string
  /** where wallets post to */
  url: string
  /** the newest entries, oldest first; undefined where they are not shown */
  entries?: TxEvent[]
}

/** Characters of a memo that are shown. */
const MAX_MEMO = 100
const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:1rem;background:#8881}td{padding-right:1rem;font-family:monospace;vertical-align:top}td:nth-child(n+3){overflow-wrap:anywhere}`

/** What a person sees who opens the URL of a pool in a browser. It has no script, and all text of others is escaped. */
export function poolPage({ path, url, entries }: PoolPage): string {
  const curl = `curl ${url} -H 'Content-Type: application/json' -d '{"transaction":"${sampleTransaction('hello')}"}'`
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(path)}</title><style>${STYLE}</style>
<h1>${escaped(path)}</h1>
<p>This is a pool of Bitcoin transactions. Wallets pay into it with a POST to this address (BIP270). Try it in a terminal:</p>
<pre>${escaped(curl)}</pre>
${entries ? listOf(entries) : ''}</html>
`
}

/** What a person sees who opens the URL of a pool with a price. A wallet reads the headers, and pays. */
export function pricePage(path: string, price: number): string {
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(path)}</title><style>${STYLE}</style>
<h1>${escaped(path)}</h1>
<p>This costs ${price.toLocaleString('en')} satoshis. Open this address in a wallet that pays by HTTP 402 (BRC-121 or BRC-166): it asks you, and pays.</p>
</html>
`
}

function listOf(entries: TxEvent[]): string {
  if (!entries.length) return '<p>It has no entries yet.</p>\n'
  const rows = entries.toReversed().map(({ seq, at, hash, payment: { memo } }) => {
    const cells = [`#${seq}`, new Date(at).toISOString(), hash, memo === undefined ? '' : JSON.stringify(memo.slice(0, MAX_MEMO))]
    return `<tr>${cells.map((cell) => `<td><bdi>${escaped(cell)}</bdi></td>`).join('')}</tr>\n`
  })
  return `<h2>Newest entries</h2>\n<table>\n${rows.join('')}</table>\n<p>They are shown to this computer only.</p>\n`
}
