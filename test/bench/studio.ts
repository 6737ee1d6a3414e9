import { gzipSync } from 'node:zlib'
import { dataTransaction } from '../../shared/transaction/index.ts'
import { SCRIPT, STYLE } from '../../studio/bundle.ts'
import { CHROMIUM, startChromium } from '../page/chromium.ts'
import { StudiedMachine } from '../studio/machine.ts'
import { type Effort, type Figures, type Goal, median, number, quantile } from './report.ts'

const MAX_BYTES = 150_000
const MAX_DATA_MS = 200
/** Two frames of a screen that has 60 of them a second, ms. */
const MAX_FRAME_MS = 34
/** Posts at a time, to fill the pool. */
const TOGETHER = 500

/** Has chromium open the studio of a machine on this computer, and scroll through a pool. */
export async function studio({ smoke }: Effort): Promise<Figures> {
  const entries = smoke ? 1_000 : 100_000
  const bytes = Buffer.byteLength(SCRIPT) + Buffer.byteLength(STYLE)
  const goals: Goal[] = [{ what: `less than ${number(MAX_BYTES)} bytes`, met: bytes < MAX_BYTES }]
  const rows = [
    ['', 'studio'],
    ['script and style, bytes', number(bytes)],
    ['the same compressed, which a loopback does without', number(gzipSync(SCRIPT).length + gzipSync(STYLE).length)],
  ]
  if (CHROMIUM !== undefined) {
    const { data, work, frames, workOfFrame, unfilled } = await shown(entries, smoke ? 3 : 15, smoke ? 30 : 600)
    const late = frames.filter((ms) => ms > MAX_FRAME_MS).length / frames.length
    rows.push(
      ['from the request of the page to the first data on it, ms', number(median(data))],
      ['the page’s own work for it, ms of processor', number(median(work))],
      ['a frame while the list scrolls, ms: median', number(median(frames))],
      ['the slowest of a hundred', number(quantile(frames, 0.99))],
      [`frames of more than ${MAX_FRAME_MS} ms, %`, number(100 * late)],
      ['the page’s own work for a frame, ms of processor', number(workOfFrame)],
      ['time until the last place is filled, ms', number(unfilled)],
    )
    goals.push(
      { what: `first data within ${MAX_DATA_MS} ms`, met: median(data) <= MAX_DATA_MS },
      { what: `99 of 100 frames within ${MAX_FRAME_MS} ms`, met: quantile(frames, 0.99) <= MAX_FRAME_MS },
    )
  }
  return {
    title: `studio: a pool of ${number(entries)} entries`,
    rows,
    goals,
    notes: CHROMIUM === undefined ? ['there is no chromium on the PATH, nor at CHROMIUM: nothing was shown'] : [],
  }
}

interface Shown {
  data: number[]
  work: number[]
  frames: number[]
  workOfFrame: number
  unfilled: number
}

async function shown(entries: number, times: number, steps: number): Promise<Shown> {
  await using machine = await StudiedMachine.open()
  for (let i = 0; i < entries; i += TOGETHER)
    await Promise.all(
      Array.from({ length: TOGETHER }, (_, k) =>
        machine.pools.post({
          path: 'coffee',
          payment: { transaction: dataTransaction(`entry ${i + k}`), memo: `a flat white for table ${k}` },
        }),
      ),
    )
  const browser = await startChromium()
  try {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    const debug = await tab.context().newCDPSession(tab)
    await debug.send('Performance.enable', { timeDomain: 'threadTicks' }) // not what others do on these processors
    const worked = async () =>
      1_000 * (await debug.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration')!.value
    const [data, work]: [number[], number[]] = [[], []]
    for (let i = -1; i < times; i++) {
      await tab.goto('about:blank')
      const before = await worked()
      await tab.goto(machine.studio, { waitUntil: 'commit' })
      const ms = await tab.evaluate<number>(FIRST_DATA)
      if (i < 0) continue // the first warms up
      data.push(ms)
      work.push((await worked()) - before)
    }
    await tab.evaluate("location.hash = '#/pool/coffee'")
    await tab.locator('.rows .row .what').first().waitFor()
    const before = await worked()
    const { frames, unfilled } = await tab.evaluate<{ frames: number[]; unfilled: number }>(scrolling(steps))
    return { data, work, frames, workOfFrame: ((await worked()) - before) / steps, unfilled }
  } finally {
    await browser.close()
  }
}

/** When the first figures of the machine are on the page, ms after it was asked for. */
const FIRST_DATA = `new Promise((resolve) => {
  const look = () => document.querySelector('.tile dd') ? resolve(performance.now()) : requestAnimationFrame(look)
  look()
})`

/** Scrolls from end to end, a step a frame; then waits until the rows are there that are seen at last. */
const scrolling = (steps: number) => `new Promise((resolve) => {
  const list = document.querySelector('.list')
  const step = (list.scrollHeight - list.clientHeight) / ${steps}
  const frames = []
  let last
  const next = (now) => {
    if (last !== undefined) frames.push(now - last)
    last = now
    if (frames.length < ${steps}) {
      list.scrollTop += step
      requestAnimationFrame(next)
      return
    }
    const begun = performance.now()
    const look = () => document.querySelectorAll('.rows .row .what').length > 10 && document.querySelector('.rows').textContent.includes('entry 0')
      ? resolve({ frames, unfilled: performance.now() - begun })
      : requestAnimationFrame(look)
    look()
  }
  requestAnimationFrame(next)
})`
