import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { handle } from 'hono/aws-lambda'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { paymentsApp } from '../../functions/payments/app.ts'
import { answerAtDoor } from '../../functions/payments/door.ts'
import type { DoorRequest } from '../../functions/payments/http.ts'
import { Quotas } from '../../functions/payments/quotas.ts'
import { type LedgerFile, openLedgerFile } from '../../local/ports.ts'
import { checkSettings, type PoolSettings } from '../../shared/config/config.ts'
import { HandClock } from '../hand-clock.ts'
import { largePayment, payment, TestMachine } from '../machine/machine.ts'
import { functionUrlEvent } from './function-url.ts'

const [ALICE, BOB] = ['203.0.113.7', '198.51.100.9']

let dir: string
let ledger: LedgerFile
let clock: HandClock
let quotas: Quotas
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'overpool-quotas-'))
  ledger = openLedgerFile(dir)
  clock = new HandClock()
  quotas = new Quotas(clock.now)
})
afterEach(() => {
  ledger.close()
  rmSync(dir, { recursive: true })
})

let n = 0

type Asked = Partial<DoorRequest> & { origin?: string; contentType?: string }

/** Posts a payment that no other post has sent. */
async function post(settings: PoolSettings, { origin, contentType, ...request }: Asked = {}, sent: object = payment(`${n++}`)) {
  const pool = { path: 'mypool', ...checkSettings(settings, 'pools.mypool') }
  const body = async () => Buffer.from(JSON.stringify(sent))
  const deps = {
    pool: () => pool,
    pools: () => [pool],
    ingress: ledger.ingress,
    ancestors: ledger.stores.ancestors,
    now: clock.now,
    log: () => {},
    quotas,
  }
  const headers: Record<string, string | undefined> = { origin, 'content-type': contentType }
  return answerAtDoor({ method: 'POST', path: '/mypool', header: (name) => headers[name], body, ...request }, deps)
}

/** The statuses of posts, one after the other. */
async function statuses(times: number, settings: PoolSettings, request: Asked, sent?: object): Promise<number[]> {
  const all: number[] = []
  for (let i = 0; i < times; i++) all.push((await post(settings, request, sent)).status)
  return all
}

describe('a pool with limits', () => {
  it('takes so many payments of an address in a minute, and more as the minute passes', async () => {
    const limits = { perMinute: 3 }
    expect(await statuses(4, { limits }, { address: ALICE })).toEqual([200, 200, 200, 429])
    const { headers, body } = await post({ limits }, { address: ALICE })
    expect(headers['retry-after']).toBe('20')
    expect(JSON.parse(body!)).toEqual({
      memo: 'your address has sent this pool 3 payments in a minute; please send this one again in 20 s',
      error: 1,
      code: 'QUOTA_EXCEEDED',
    })
    expect(await statuses(1, { limits }, { address: BOB })).toEqual([200])
    clock.wind(20_000)
    expect(await statuses(2, { limits }, { address: ALICE })).toEqual([200, 429])
    clock.wind(60_000)
    expect(await statuses(4, { limits }, { address: ALICE })).toEqual([200, 200, 200, 429])
  })

  it('takes so many bytes of an address, in the last message more', async () => {
    const limits = { bytesPerMinute: 1_000_000 }
    const large = largePayment(400_000) // 800 KB of hex
    expect(await statuses(3, { limits }, { address: ALICE }, large)).toEqual([200, 200, 429])
    expect(await statuses(1, { limits }, { address: ALICE })).toEqual([429])
    clock.wind(60_000)
    expect(await statuses(1, { limits }, { address: ALICE }, large)).toEqual([200])
  })

  it('counts payments that are sent at the same time', async () => {
    const limits = { bytesPerMinute: 1_000_000 }
    const all = await Promise.all(Array.from({ length: 10 }, () => post({ limits }, { address: ALICE }, largePayment(400_000))))
    expect(all.filter(({ status }) => status === 200)).toHaveLength(2)
  })

  it('takes so many from all addresses together', async () => {
    const limits = { total: { perMinute: 2 } }
    expect(await statuses(1, { limits }, { address: ALICE })).toEqual([200])
    expect(await statuses(2, { limits }, { address: BOB })).toEqual([200, 429])
  })

  it.each([
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9', 429],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', 200],
    ['::ffff:203.0.113.7', '203.0.113.7', 429],
    ['fe80::1%eth0', 'fe80::2', 429],
  ])('counts %s and %s as one address, or as two', async (one, other, status) => {
    const limits = { perMinute: 1 }
    expect(await statuses(1, { limits }, { address: one })).toEqual([200])
    expect(await statuses(1, { limits }, { address: other })).toEqual([status])
  })

  it('on a running machine', async () => {
    await using machine = await TestMachine.start({ mypool: { limits: { perMinute: 1 } }, other: {} }, { side: 'sqlite', idle: true })
    expect((await machine.post('mypool', payment('first'))).status).toBe(200)
    expect(await machine.post('mypool', payment('second'))).toMatchObject({ status: 429, body: { error: 1, code: 'QUOTA_EXCEEDED' } })
    expect((await machine.post('other', payment('second'))).status).toBe(200)
  })
})

describe('a pool without limits of its own', () => {
  it('limits other hosts', async () => {
    expect(new Set(await statuses(1_000, {}, { address: ALICE }))).toEqual(new Set([200]))
    expect(await statuses(1, {}, { address: ALICE })).toEqual([429])
  })

  it('limits other hosts on AWS, in each instance of the function', async () => {
    const pool = { path: 'mypool', ...checkSettings({}, '') }
    const deps = {
      pool: () => pool,
      pools: () => [pool],
      ingress: ledger.ingress,
      ancestors: ledger.stores.ancestors,
      now: Date.now,
      log: () => {},
      maxBytes: 1_000_000,
    }
    const handler = handle(paymentsApp(deps))
    const event = functionUrlEvent('{}')
    const codes: string[] = []
    while (codes.at(-1) !== 'QUOTA_EXCEEDED' && codes.length < 5_000) codes.push(JSON.parse((await handler(event)).body).code)
    expect(codes.at(-1)).toBe('QUOTA_EXCEEDED')
    expect(codes.length).toBeGreaterThan(1_000)
  })

  it.each(['127.0.0.1', '::1', '::ffff:127.0.0.1'])('does not limit this host, which posts from %s', async (address) => {
    expect(new Set(await statuses(1_001, {}, { address }))).toEqual(new Set([200]))
  })

  it('limits nobody when `limits` is false', async () => {
    expect(new Set(await statuses(1_001, { limits: false }, { address: ALICE }))).toEqual(new Set([200]))
  })
})

describe('a pool with origins', () => {
  const shop = 'https://shop.example'
  const origins = [shop]
  const FORM = { contentType: 'application/x-www-form-urlencoded' }

  it('takes payments of these web pages, and of programs that are no web pages', async () => {
    const { status, headers } = await post({ origins }, { origin: shop })
    expect([status, headers['access-control-allow-origin'], headers.vary]).toEqual([200, shop, 'origin'])
    expect((await post({ origins })).status).toBe(200)
  })

  it.each(['https://evil.example', 'http://shop.example', 'https://shop.example:8443', 'null'])(
    'takes none of a page of %s',
    async (origin) => {
      for (const type of [{}, FORM, { contentType: 'application/json' }]) {
        const { status, headers, body } = await post({ origins }, { origin, ...type })
        expect([status, JSON.parse(body!).code]).toEqual([403, 'ORIGIN_REFUSED'])
        expect(headers).not.toHaveProperty('access-control-allow-origin')
      }
    },
  )

  it('answers the preflight of these pages only', async () => {
    const ask = async (origin: string) => (await post({ origins }, { method: 'OPTIONS', origin })).headers['access-control-allow-origin']
    expect(await ask(shop)).toBe(shop)
    expect(await ask('https://evil.example')).toBe(undefined)
  })

  it('takes payments of no page when the list is empty, and of every page without one', async () => {
    expect((await post({ origins: [] }, { origin: shop })).status).toBe(403)
    const { status, headers } = await post({}, { origin: 'https://any.example' })
    expect([status, headers['access-control-allow-origin']]).toEqual([200, '*'])
  })

  it('on a running machine', async () => {
    await using machine = await TestMachine.start({ mypool: { origins } }, { side: 'sqlite', idle: true })
    expect((await machine.post('mypool', payment('a'), { origin: 'https://evil.example' })).status).toBe(403)
    expect((await machine.post('mypool', payment('a'), { origin: shop })).status).toBe(200)
  })
})

describe('the config refuses', () => {
  it.each<[settings: object, sentence: string]>([
    [{ limits: true }, 'pools.a.limits is false, or an object such as { perMinute: 60 }'],
    [{ limits: { perSecond: 1 } }, 'there is no setting `pools.a.limits.perSecond`; there are bytesPerMinute, perMinute, total'],
    [{ limits: { perMinute: 0 } }, 'pools.a.limits.perMinute is a whole number of at least 1'],
    [{ limits: { total: 7 } }, 'pools.a.limits.total is an object such as'],
    [{ limits: { total: { bytesPerMinute: '1 MB' } } }, 'pools.a.limits.total.bytesPerMinute is a whole number of at least 1'],
    [{ limits: { total: { total: {} } } }, 'there is no setting `pools.a.limits.total.total`'],
    [{ origins: 'https://shop.example' }, 'pools.a.origins is a list of origins of web pages'],
    [{ origins: ['https://shop.example/'] }, 'pools.a.origins is a list of origins of web pages'],
    [{ origins: ['shop.example'] }, 'pools.a.origins is a list of origins of web pages'],
    [{ origins: ['*'] }, 'pools.a.origins is a list of origins of web pages'],
  ])('%j: %s', (settings, sentence) => {
    expect(() => checkSettings(settings, 'pools.a')).toThrow(sentence)
  })
})
