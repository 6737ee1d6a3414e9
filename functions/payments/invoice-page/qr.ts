import { encodeQR } from 'qr'
import { html, Markup } from '../html.ts'

/** White around the code, modules: readers want four. */
const QUIET = 4

/** A QR code as an image that is a part of the page. It is dark on white in dark mode too: some readers take nothing else. */
export function qrCode(text: string, label: string): Markup {
  const rows = encodeQR(text, 'raw', { ecc: 'medium', border: QUIET })
  const size = rows.length
  return html`<svg class="qr" role="img" aria-label="${label}" viewBox="0 0 ${size} ${size}" width="${size}" height="${size}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path stroke="#000" transform="translate(0 .5)" d="${new Markup(rows.map(runsOf).join(''))}"/></svg>`
}

/** The dark runs of a row, as lines: half the bytes of rectangles, and a page has hundreds of them. */
function runsOf(row: boolean[], y: number): string {
  const dark = row.map((is) => (is ? '1' : '0')).join('')
  return [...dark.matchAll(/1+/g)].map(({ index, 0: { length } }) => `M${index} ${y}h${length}`).join('')
}
