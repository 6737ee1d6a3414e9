import { HD } from '@bsv/sdk'
import { expect, it } from 'vitest'
import { scriptOfAddress } from '../../shared/chain/filter.ts'
import { paying } from '../invoice/pay.ts'
import { Project } from './project.ts'

it('an invoice is made, shown, paid, listed and cancelled in the terminal, and the machine’s key spends what came', {
  timeout: 120_000,
}, async () => {
  await using project = Project.of({ shop: {} }, 'export function onTx() {}')
  const machine = project.overpool(['start'])
  await machine.says(/http:\/\/127\.0\.0\.1:\d+\/shop/)
  const made = await project.result('invoice', 'shop', '1500', '--memo', 'a coffee', '--expires', '15')
  expect(made).toMatchObject({ code: 0, err: '' })
  const [, id] = /^invoice {3}(\S+)$/m.exec(made.out)!
  expect(made.out).toMatch(
    /^state {5}open\ndue {7}1500 satoshis\nfor {7}a coffee\nuntil {5}\S+Z\npage {6}http\S+\/shop\/\S+\nwallets {3}pay:\?r=\S+\naddress {3}1\S+$/m,
  )
  const [, page] = /^page +(\S+)$/m.exec(made.out)!
  const [, address] = /^address +(\S+)$/m.exec(made.out)!
  const transaction = paying([{ satoshis: 1_500, script: scriptOfAddress(address!) }]).toString('hex')
  const ack = await fetch(page!, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ transaction }) })
  expect(await ack.json()).toMatchObject({ memo: 'Paid. Thank you.' })
  expect((await project.result('invoice', 'shop', '--get', id!)).out).toMatch(/^state {5}paid[\s\S]*^paid by +[\da-f]{64}/m)
  expect((await project.result('invoice', 'shop', '--list')).out).toBe(`${id}  paid  1500 of 1500 satoshis  a coffee\n`)
  const refused = await project.result('invoice', 'shop', '--cancel', id!)
  expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/is paid, by [\da-f]{64}, and cannot be cancelled any more/)])
  const { out } = await project.result('keys', 'receive', '--private')
  expect(HD.fromString(out.split('\n')[0]!).derive('m/0/0').privKey.toAddress()).toBe(address)
  expect(await project.result('invoice', 'shop')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/say one thing: an amount/) as unknown,
  })
  expect(await machine.stop()).toBe(0)
})
