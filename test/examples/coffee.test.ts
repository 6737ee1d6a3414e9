import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { markPaid } from '../../examples/coffee/handler.ts'
import { Orders } from '../../examples/coffee/orders.ts'
import { shop } from '../../examples/coffee/shop.ts'
import { Project, REPOSITORY } from '../cli/project.ts'
import { paying } from '../invoice/pay.ts'
import { until } from '../machine/machine.ts'

const dir = mkdtempSync(join(tmpdir(), 'overpool-coffee-'))
const file = join(dir, 'orders.db')
const orders = new Orders(file)
const server = shop(orders, async ({ id }) => `http://127.0.0.1:3000/till/${id}`)
let url: string
beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.close()
  orders.close()
  rmSync(dir, { recursive: true })
})

const order = (items: Record<string, string>) =>
  fetch(`${url}/orders`, { method: 'POST', body: new URLSearchParams(items), redirect: 'manual' })

/** The example as its README has it run. */
async function open(project: Project): Promise<{ website: string; program: ReturnType<Project['run']> }> {
  const env = { OVERPOOL_DIR: join(project.dir, 'kept'), PORT: '0', TILL_PORT: '0' }
  const program = project.run('npm', ['run', '--silent', 'example', '--', 'coffee'], { cwd: REPOSITORY, env: { ...process.env, ...env } })
  const [, website] = await program.says(/order at (\S+)/)
  await program.says(/Ctrl-C closes the shop/)
  return { website: website!, program }
}

it('the example runs: an order leads to an invoice; when that is paid, the order is, at once', { timeout: 120_000 }, async () => {
  await using project = new Project()
  const { website, program } = await open(project)
  const placed = await fetch(`${website}/orders`, { method: 'POST', body: new URLSearchParams({ Espresso: '2' }), redirect: 'manual' })
  const invoice = placed.headers.get('location')!
  const request = (await (await fetch(invoice)).json()) as { outputs: { amount: number; script: string }[]; merchantData: string }
  expect(request).toMatchObject({ outputs: [{ amount: 10_400 }], memo: '2 × Espresso', paymentUrl: invoice })
  const transaction = paying(request.outputs.map(({ amount, script }) => ({ satoshis: amount, script }))).toString('hex')
  const body = JSON.stringify({ transaction, merchantData: request.merchantData })
  const ack = await fetch(invoice, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  expect(await ack.json()).toMatchObject({ memo: 'Paid. Thank you.' })
  await until(
    () => program.out,
    (out) => out.includes('paid: 2 × Espresso'),
  )
  expect(await (await fetch(`${website}/orders`)).text()).toContain('10,400 satoshis, paid')
  process.kill(-program.child.pid!, 'SIGINT') // as Ctrl-C in a terminal
  expect(await program.ended()).toBe(0)
})

describe('the shop of the example', () => {
  it('shows its prices, takes an order and leads to its invoice; the handler marks it as paid, once', async () => {
    expect(await (await fetch(url)).text()).toContain('Flat white<br><small>8,400 satoshis')
    const answer = await order({ 'Flat white': '2', Espresso: '0', 'Almond croissant': '1' })
    const [placed] = orders.list()
    expect([answer.status, answer.headers.get('location')]).toEqual([303, placed!.invoice])
    expect(placed).toMatchObject({ items: '2 × Flat white, 1 × Almond croissant', satoshis: 24_800, txid: null })

    const paid = (hash: string, state: string) =>
      markPaid({ hash, invoice: { state, data: { order: placed!.id } } } as Parameters<typeof markPaid>[0], orders)
    paid('11', 'underpaid')
    expect(orders.get(placed!.id)!.txid).toBeNull()
    paid('22', 'paid')
    paid('33', 'paid')
    expect(orders.get(placed!.id)!.txid).toBe('22')
    expect(await (await fetch(`${url}/orders`)).text()).toContain('24,800 satoshis, paid')
  })

  it.each([
    ['nothing', { Espresso: '0' }],
    ['what it does not sell', { Tea: '1', constructor: '1' }],
    ['a part of something', { Espresso: '0.5' }],
    ['less than nothing', { Espresso: '-1' }],
  ])('takes no order of %s', async (_, items) => {
    expect((await order(items as Record<string, string>)).status).toBe(422)
  })
})
