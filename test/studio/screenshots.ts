// Pictures of each part of the studio, on a phone and on a desktop, light and dark: `node test/studio/screenshots.ts <folder>`.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startChromium } from '../page/chromium.ts'
import { HOSTILE, StudiedMachine } from './machine.ts'

const SIZES = { phone: { width: 400, height: 800 }, desktop: { width: 1400, height: 900 } }
const [folder = 'screenshots'] = process.argv.slice(2)

mkdirSync(folder, { recursive: true })
await using machine = await StudiedMachine.open()
for (let i = 0; i < 200; i++) await machine.post(`a flat white, table ${i % 7}`, `entry ${i}`)
await machine.post('order 12')
await machine.post('fail for good')
await machine.post('fail again')
for (let i = 0; i < 5; i++) await machine.post(`remember table-${i}`)
await machine.ask('pause', { pool: 'coffee', handler: 'tx', reason: 'the bank is closed' })
await machine.post(HOSTILE)
await machine.pools.invoice({ path: 'coffee', amount: 8_400, memo: 'two flat whites' })
const PLACES: Record<string, string> = {
  overview: '#/',
  pool: '#/pool/coffee',
  filter: '#/pool/coffee?q=order',
  ...Object.fromEntries(
    ['payment', 'outputs', 'status', 'trail', 'bytes', 'runs', 'again'].map((part) => [part, `#/pool/coffee/200/${part}`]),
  ),
  hostile: '#/pool/coffee/208',
  runs: '#/runs?pool=coffee',
  state: '#/state?handler=tx&pool=coffee&key=table-1',
  dead: '#/dead',
  invoices: '#/invoices',
  network: '#/network',
  post: '#/post',
}
const browser = await startChromium()
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await browser.newContext({ viewport, colorScheme })
    const page = await context.newPage()
    await page.goto(machine.studio)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    for (const [name, at] of Object.entries(PLACES)) {
      await page.evaluate(`location.hash = ${JSON.stringify(at)}`)
      await page.waitForTimeout(800)
      await page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`) })
    }
    await context.close()
  }
}
await browser.close()
