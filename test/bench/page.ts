import { invoicePage } from '../../functions/payments/invoice-page/page.ts'
import { CHROMIUM, startChromium } from '../page/chromium.ts'
import { Shop } from '../page/shop.ts'
import { viewOf } from '../page/views.ts'
import { type Effort, type Figures, type Goal, median, number } from './report.ts'

const MAX_BYTES = 30_000
const MAX_PAINT_MS = 100

/** Makes invoice pages, and has chromium show one from a server on this computer. */
export async function page({ smoke }: Effort): Promise<Figures> {
  const view = viewOf('open')
  const bytes = Buffer.byteLength(invoicePage(view))
  const [rounds, count] = smoke ? [1, 20] : [9, 2_000]
  const times: number[] = []
  for (let round = -1; round < rounds; round++) {
    const start = performance.now()
    for (let i = 0; i < count; i++) invoicePage(view)
    if (round >= 0) times.push((performance.now() - start) / count) // the first warms up
  }
  const goals: Goal[] = [{ what: `less than ${number(MAX_BYTES)} bytes`, met: bytes < MAX_BYTES }]
  const rows = [
    ['', 'page'],
    ['bytes', number(bytes)],
    ['to make it, ms', number(median(times))],
  ]
  if (CHROMIUM !== undefined) {
    const { paints, shifts } = await shown(smoke ? 2 : 21)
    const [paint, shift] = [median(paints), Math.max(...shifts)]
    rows.push(['first paint in chromium, ms', number(paint)], ['layout shift, at most', number(shift)])
    goals.push({ what: `first paint within ${MAX_PAINT_MS} ms`, met: paint <= MAX_PAINT_MS }, { what: 'no layout shift', met: shift === 0 })
  }
  return {
    title: `page: an invoice with a QR code; medians of ${rounds} rounds`,
    rows,
    goals,
    notes:
      CHROMIUM === undefined ? ['there is no chromium on the PATH, nor at CHROMIUM: first paint and layout shift were not measured'] : [],
  }
}

/** Opens the page again and again. The first time warms the browser up. */
async function shown(times: number): Promise<{ paints: number[]; shifts: number[] }> {
  await using shop = await Shop.open()
  const browser = await startChromium()
  try {
    const paints: number[] = []
    const shifts: number[] = []
    const tab = await browser.newPage()
    for (let i = 0; i <= times; i++) {
      await tab.goto(shop.view.url)
      const [paint, shift] = await tab.evaluate<[number, number]>(SEEN)
      if (i === 0) continue
      paints.push(paint)
      shifts.push(shift)
    }
    return { paints, shifts }
  } finally {
    await browser.close()
  }
}

/** The time of the first paint since the page was asked for, ms, and the sum of the layout shifts until then and in the two frames after it. */
const SEEN = `new Promise((resolve) => {
  let shift = 0
  const add = (list) => list.getEntries().forEach(({ value }) => (shift += value))
  const shifts = new PerformanceObserver(add)
  shifts.observe({ type: 'layout-shift', buffered: true })
  new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName('first-contentful-paint')
    if (!paint) return
    const { startTime } = paint
    const end = () => {
      add({ getEntries: () => shifts.takeRecords() })
      resolve([startTime, shift])
    }
    requestAnimationFrame(() => requestAnimationFrame(end))
  }).observe({ type: 'paint', buffered: true })
})`
