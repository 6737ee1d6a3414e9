import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openFolder } from '../../client/folder.ts'
import { systemClock } from '../../shared/clock.ts'
import { StateView } from '../../shared/state/view.ts'
import { SHARED } from '../../shared/store/state.ts'
import { runRoutes } from '../../studio/routes/runs.ts'
import { stateRoutes } from '../../studio/routes/state.ts'
import type { ChangeRow, DeadPage, HandlerRow, Overview, RunsPage, Said, StatePage, StateValue } from '../../studio/shapes.ts'
import { until } from '../machine/machine.ts'
import { CHROMIUM, startChromium } from '../page/chromium.ts'
import { HOSTILE, knock, StudiedMachine, WRITES } from './machine.ts'
import { visitStudio } from './visit.ts'

// What the studio shows of the work of handlers, and what it does with it: runs, state, pauses, some of what was given up. Behind it is a real machine.

let machine: StudiedMachine
let browser: Browser | undefined
beforeAll(async () => {
  if (CHROMIUM !== undefined) browser = await startChromium()
  machine = await StudiedMachine.open()
  await machine.post('say hello')
  await machine.post('order 1')
  await machine.post('fail 1')
  await machine.post('fail 2')
  await machine.post('fail 3')
  for (let i = 100; i < 160; i++) await machine.post(`remember table-${i}`)
  await machine.post('remember user-1')
  await until(
    () => handlerNow(),
    (handler) => handler?.waiting === 0 && handler.dead === 3,
  )
})
afterAll(async () => {
  await browser?.close()
  await machine?.[Symbol.asyncDispose]()
})

async function handlerNow(of = machine): Promise<HandlerRow | undefined> {
  const { pools } = await of.ask<Overview>('overview')
  return pools.find(({ path }) => path === 'coffee')?.handlers[0]
}

const state = (query: Record<string, string>) =>
  machine.ask<StatePage>(`state?${new URLSearchParams({ handler: 'tx', pool: 'coffee', ...query }).toString()}`)
const value = async (key: string) => (await machine.ask<StateValue>(`value?handler=tx&pool=coffee&key=${key}`)).json

/** A change without the header of calls that change something. */
async function withoutHeader(name: string, body: object): Promise<string> {
  const { 'x-overpool-studio': _, ...headers } = WRITES
  const sent = { method: 'POST', body: JSON.stringify(body), headers: { ...headers, authorization: `Bearer ${machine.token}` } }
  return (await knock(`${machine.url}/_/studio/api/${name}`, sent)).text
}

describe('what the page gets of the work of handlers', () => {
  it('the runs of a pool, of one outcome, and of one entry: posts, lines, the error with its stack', async () => {
    const all = await machine.ask<RunsPage>('runs?pool=coffee&handler=tx')
    expect(all.isKept).toBe(true)
    const [newest, second] = all.rows
    expect(newest!.startedAt).toBeGreaterThanOrEqual(second!.startedAt)
    const failed = await machine.ask<RunsPage>('runs?pool=coffee&outcome=given-up')
    expect(failed.rows.map(({ seq, outcome }) => [seq, outcome])).toEqual([4, 3, 2].map((seq) => [seq, 'given-up']))
    expect(failed.rows[0]!.error).toContain(`<script>document.title='taken over'`)
    expect(failed.rows[0]!.error).toMatch(/\n\s+at .+machine\.ts/)
    expect((await machine.ask<RunsPage>('runs?pool=coffee&seq=0')).rows).toMatchObject([
      { seq: 0, outcome: 'ok', attempt: 1, console: ['say hello'], posts: 0 },
    ])
    expect((await machine.ask<RunsPage>('runs?pool=coffee&seq=1')).rows).toMatchObject([{ posts: 2 }])
    expect((await machine.ask<RunsPage>('runs?pool=coffee&handler=nobody')).rows).toEqual([])
    await expect(machine.ask('runs?pool=coffee&outcome=good')).rejects.toThrow('outcome is one of ok, failed, given-up')
    await expect(machine.ask('runs?pool=nowhere')).rejects.toThrow('POOL_NOT_FOUND')
  })

  it('runs and state are those of the folder for a second process; a machine that keeps no runs says so', async () => {
    await using folder = openFolder(machine.dir)
    const asked = { query: new URLSearchParams({ pool: 'coffee' }) }
    const deps = { machine: { pools: folder.pools } as never, place: '', now: Date.now }
    expect(await runRoutes['GET runs']!(asked, deps)).toMatchObject({ isKept: false, rows: [] })
    // The machine of the folder, as a second process sees it, keeps them.
    expect(await runRoutes['GET runs']!(asked, { ...deps, machine: folder })).toMatchObject({ isKept: true, looked: expect.any(Number) })
    const ask = { query: new URLSearchParams({ handler: 'tx', pool: 'coffee', prefix: 'table-15' }) }
    expect(await stateRoutes['GET state']!(ask, { ...deps, machine: folder })).toMatchObject({ rows: { length: 10 }, isMore: false })
  })

  it('the keys of a state by their beginning, page by page', async () => {
    const first = await state({ prefix: 'table-' })
    expect([first.rows.length, first.rows[0]!.key, first.isMore, first.isShared]).toEqual([50, 'table-100', true, false])
    expect(JSON.parse(first.rows[0]!.json)).toEqual({ seq: 5, big: { $bigint: '12' } })
    const next = await state({ prefix: 'table-', after: 'table-149' })
    expect([next.rows.length, next.rows.at(-1)!.key, next.isMore]).toEqual([10, 'table-159', false])
    await expect(machine.ask('state?handler=tx')).rejects.toThrow('has a state for each pool')
    await expect(machine.ask('state?handler=nobody&pool=coffee')).rejects.toThrow('HANDLER_NOT_FOUND')
  })

  it('finds and changes a state that all pools share without a pool', async () => {
    await using folder = openFolder(machine.dir)
    await new StateView({ handler: 'books', scope: SHARED, pool: 'coffee' }, folder.stores, systemClock).set('total', 3n)
    const page = await machine.ask<StatePage>('state?handler=books')
    expect([page.isShared, page.rows]).toEqual([true, [{ key: 'total', json: '{"$bigint":"3"}' }]])
    await machine.ask('set', { handler: 'books', key: 'total', json: '4' })
    expect(await machine.ask('value?handler=books&key=total')).toEqual({ key: 'total', json: '4' })
    const { rows } = await machine.ask<{ rows: ChangeRow[] }>('changes?handler=books')
    expect(rows.map(({ before, after }) => [before, after])).toEqual([
      ['{"$bigint":"3"}', '4'],
      [undefined, '{"$bigint":"3"}'],
    ])
  })

  it('sets and deletes a key, and writes over nothing that the caller has not seen', async () => {
    const named = { handler: 'tx', pool: 'coffee', key: 'table-120' }
    const was = (await value('table-120'))!
    expect(await machine.ask<Said>('set', { ...named, was, json: '{"big": {"$bigint": "13"}}' })).toEqual({ says: 'table-120 is set' })
    expect(JSON.parse((await value('table-120'))!)).toEqual({ big: { $bigint: '13' } })
    await expect(machine.ask('set', { ...named, was, json: '1' })).rejects.toThrow('has changed since you opened it')
    await expect(machine.ask('unset', { ...named, was })).rejects.toThrow('has changed since you opened it')
    await expect(machine.ask('set', { ...named, json: '{' })).rejects.toThrow('this is no JSON')
    await expect(machine.ask('set', { ...named, json: '{"$bigint": 1}' })).rejects.toThrow('is not a value')
    expect(await withoutHeader('set', { ...named, json: '1' })).toContain('NOT_OUR_PAGE')
    expect(await withoutHeader('unset', named)).toContain('NOT_OUR_PAGE')
    await machine.ask('unset', named)
    expect(await value('table-120')).toBeUndefined()
    const { rows } = await machine.ask<{ rows: ChangeRow[] }>('changes?handler=tx&pool=coffee')
    expect(rows.slice(0, 2)).toMatchObject([
      { key: 'table-120', before: '{"big":{"$bigint":"13"}}' },
      { key: 'table-120', pool: 'coffee' },
    ])
    expect(rows[0]!.after).toBeUndefined()
  })

  it('retries only what was selected: by its error, by its numbers', async () => {
    const asked = { pool: 'coffee', handler: 'tx' }
    expect(await machine.ask<Said>('redrive', { ...asked, error: 'another error' })).toEqual({ says: 'there was nothing to do' })
    expect(await machine.ask<Said>('redrive', { ...asked, error: 'taken over', from: 3, to: 3 })).toEqual({
      says: 'tx tries 1 entry again',
    })
    await expect(machine.ask('redrive', { ...asked, from: -1 })).rejects.toThrow('from is a whole number')
  })

  it('pauses a handler with a reason, which the overview shows, and has it go on', async () => {
    await using own = await StudiedMachine.open()
    await own.post('first')
    await until(
      () => handlerNow(own),
      (handler) => handler?.waiting === 0,
    )
    const named = { pool: 'coffee', handler: 'tx' }
    await expect(own.ask('pause', named)).rejects.toThrow('say why')
    await expect(own.ask('pause', { ...named, handler: 'nobody', reason: 'x' })).rejects.toThrow('HANDLER_NOT_FOUND')
    await own.ask('pause', { ...named, reason: 'the bank is closed' })
    expect(await handlerNow(own)).toMatchObject({ paused: 'the bank is closed' })
    await own.ask('unpause', named)
    await own.post('second')
    const done = await until(
      () => handlerNow(own),
      (handler) => handler?.done === 2,
    )
    expect(done!.paused).toBeUndefined()
    expect(await own.ask<Said>('unpause', named)).toEqual({ says: 'tx was not paused in coffee' })
    expect(await withoutHeader('pause', { ...named, reason: 'x' })).toContain('NOT_OUR_PAGE')
  })
})

describe.skipIf(CHROMIUM === undefined)('the page about the work of handlers', () => {
  it('shows runs, and finds those that were given up; what they threw stays text', async () => {
    await using opened = await visitStudio(browser!, machine, { at: '#/runs?pool=coffee' })
    const { page, faults } = opened
    await page.getByLabel('Outcome').selectOption('given-up')
    await page.getByText('taken over').first().waitFor()
    expect(await page.locator('.letters .chip').allTextContents()).not.toContain('ok')
    expect(await page.locator('#studio script, #studio img').count()).toBe(0)
    await page.getByRole('link', { name: '#2' }).first().click()
    await page.getByLabel('Parts of the entry').getByRole('link', { name: 'Runs' }).click()
    await page.getByRole('article').getByText('given-up').waitFor()
    expect(faults).toEqual([])
  })

  it('edits a value, says what is wrong with one, and asks before it deletes', async () => {
    await using opened = await visitStudio(browser!, machine, { at: '#/state?handler=tx&pool=coffee&prefix=user' })
    const { page, faults } = opened
    await page.getByRole('button', { name: 'user-1' }).press('Enter')
    const field = page.getByLabel('Value of user-1, as JSON')
    await field.fill('{ "seats": ')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('alert').getByText('this is no JSON').waitFor()
    await field.fill('{ "seats": 4 }')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('cell', { name: '{"seats":4}' }).waitFor()
    expect(JSON.parse((await value('user-1'))!)).toEqual({ seats: 4 })
    await page.getByRole('button', { name: 'Delete', exact: true }).click()
    await page.getByRole('button', { name: 'Delete it for good?' }).waitFor()
    expect(await value('user-1')).toBeDefined()
    await page.getByRole('button', { name: 'Delete it for good?' }).click()
    await page.getByText('No key begins with this.').waitFor()
    expect(await value('user-1')).toBeUndefined()
    expect(faults.filter((fault) => !fault.includes('400'))).toEqual([])
  })

  it('pauses a handler where its lag is shown, and shows why', async () => {
    await using own = await StudiedMachine.open()
    await own.post('first')
    await using opened = await visitStudio(browser!, own)
    const { page } = opened
    await page.getByRole('button', { name: 'Pause tx in coffee' }).press('Enter')
    await page.keyboard.type(HOSTILE.slice(0, 60))
    await page.keyboard.press('Enter')
    await page.getByText('paused', { exact: true }).waitFor()
    await page.locator('.line').getByText('<script>').waitFor()
    await page.getByRole('button', { name: 'Unpause' }).click()
    await page.getByRole('button', { name: 'Pause tx in coffee' }).waitFor()
    expect((await handlerNow(own))!.paused).toBeUndefined()
  })

  it('redrives some of what was given up, and leaves the rest', async () => {
    await using own = await StudiedMachine.open()
    for (const n of [1, 2, 3]) await own.post(`fail ${n}`)
    await until(
      () => own.ask<DeadPage>('dead'),
      ({ total }) => total === 3,
    )
    own.mend()
    await using opened = await visitStudio(browser!, own, { at: '#/dead' })
    const { page } = opened
    await page.getByLabel('Error contains').fill('taken over')
    await page.getByLabel('From entry').fill('1')
    await page.getByLabel('To entry').fill('1')
    await page.getByRole('button', { name: 'Redrive these' }).click()
    await page.getByText('tx tries 1 entry again').waitFor()
    const left = await until(
      () => own.ask<DeadPage>('dead'),
      ({ total }) => total === 2,
    )
    expect(left.rows.map(({ seq }) => seq).sort()).toEqual([0, 2])
  })

  it('gives the command that runs a handler again from an entry on', async () => {
    await using opened = await visitStudio(browser!, machine, { at: '#/pool/coffee/2/again' })
    const { page } = opened
    await page.getByText('overpool replay coffee --handler tx --from 2 --into tx-again', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'copy the command for tx' }).waitFor()
  })
})
