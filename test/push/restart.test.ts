import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { followPool } from '../../client/follow.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { type Program, Project, pay, REPOSITORY } from '../cli/project.ts'
import { until } from '../machine/machine.ts'
import { CHROMIUM, startChromium } from '../page/chromium.ts'
import { freePort } from '../stack/emulators.ts'

// A machine (`overpool start`) that is killed and started again on the same port, again and again, while a wallet pays into it: nobody who follows it misses an entry, or gets one twice.

const DEATHS = 4
const PAYMENTS = 400

let browser: Browser | undefined
/** A web page of another origin than the machine. */
const shop = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html><title>shop</title>'))
beforeAll(async () => {
  if (CHROMIUM !== undefined) browser = await startChromium()
  await once(shop.listen(0, '127.0.0.1'), 'listening')
})
afterAll(async () => {
  await browser?.close()
  shop.close()
})

/** The machine, and a wallet that pays into it until it has its ACK. */
class Mortal implements AsyncDisposable {
  readonly #project = new Project()
  url = ''
  #port = 0
  #machine: Program | undefined

  async start(): Promise<void> {
    this.#port ||= await freePort()
    this.#project.write(
      'overpool.config.ts',
      "import { defineConfig } from 'overpool-cloud'\nexport default defineConfig({ pools: { mypool: { events: true, limits: false } } })\n",
    )
    const machine = await this.#project.start([], { PORT: String(this.#port) })
    this.#machine = machine
    this.url = `${machine.url}/mypool`
  }

  async die(): Promise<void> {
    await this.#machine!.stop('SIGKILL')
  }

  async pay(i: number): Promise<void> {
    const once = () => pay(this.url, sampleTransaction(`payment ${i}`)).catch(() => 0)
    await until(once, (status) => status === 200, 60_000)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#project[Symbol.asyncDispose]()
  }

  /** Pays while the machine dies and comes back. */
  async live(): Promise<void> {
    let paid = 0
    const paying = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (paid < PAYMENTS) await this.pay(paid++)
      }),
    )
    for (let death = 1; death <= DEATHS; death++) {
      await until(
        () => paid,
        (many) => many >= (death * PAYMENTS) / (DEATHS + 1),
        60_000,
      )
      await this.die()
      await this.start()
    }
    await paying
  }
}

const ALL = Array.from({ length: PAYMENTS }, (_, seq) => seq)

it('followers in chromium, by EventSource and by followPool, and in Node get each entry once, in order', { timeout: 120_000 }, async ({
  skip,
}) => {
  await using mortal = new Mortal()
  await mortal.start()
  const inNode: number[] = []
  const gone = new AbortController()
  const following = followPool(mortal.url, { onEvent: ({ seq }) => inNode.push(seq), signal: gone.signal, after: -1 })
  const pages: Page[] = []
  if (browser) {
    const { outputFiles } = await build({
      entryPoints: [`${REPOSITORY}/client/follow.ts`],
      bundle: true,
      write: false,
      format: 'iife',
      globalName: 'overpool',
      tsconfigRaw: {},
    })
    for (const script of [
      'globalThis.source = new EventSource(url + "/events"); source.onmessage = ({ lastEventId, data }) => got.push([Number(lastEventId), JSON.parse(data).seq])',
      `${outputFiles[0]!.text}; overpool.followPool(url, { onEvent: ({ seq }) => got.push([seq, seq]), after: -1 })`,
    ]) {
      const page = await browser.newPage()
      await page.goto(`http://127.0.0.1:${(shop.address() as AddressInfo).port}/`)
      await page.evaluate(`{ globalThis.got = []; const url = ${JSON.stringify(mortal.url)}; ${script}; undefined }`)
      pages.push(page)
    }
    // The page begins before the first payment: an EventSource gets what comes from now on.
    await pages[0]!.waitForFunction('source.readyState === EventSource.OPEN')
  }
  await mortal.live()
  const got = (page: Page) => page.evaluate('got') as Promise<[id: number, seq: number][]>
  for (const page of pages)
    await until(
      async () => (await got(page)).length,
      (length) => length >= PAYMENTS,
      60_000,
    )
  await until(
    () => inNode.length,
    (length) => length >= PAYMENTS,
    60_000,
  )
  gone.abort()
  await following
  expect(inNode).toEqual(ALL)
  for (const page of pages) expect(await got(page)).toEqual(ALL.map((seq) => [seq, seq]))
  if (!browser) skip('there is no chromium on the PATH, nor at CHROMIUM: only Node has followed')
})
