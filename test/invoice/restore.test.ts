import { expect, it } from 'vitest'
import { scriptOfAddress } from '../../shared/chain/filter.ts'
import { Project } from '../cli/project.ts'
import { paying } from './pay.ts'

it('an invoice that was paid after the backup is not paid once more after a restore', { timeout: 120_000 }, async () => {
  await using project = Project.of({ shop: {} }, 'export function onTx() {}')
  let machine = project.overpool(['start'])
  await machine.says(/http:\/\/127\.0\.0\.1:\d+\/shop/)
  const { out } = await project.result('invoice', 'shop', '1500')
  const [, id] = /^invoice +(\S+)$/m.exec(out)!
  const [, address] = /^address +(\S+)$/m.exec(out)!
  const pay = async () => {
    const page = /^page +(\S+)$/m.exec((await project.result('invoice', 'shop', '--get', id!)).out)![1]!
    const transaction = paying([{ satoshis: 1_500, script: scriptOfAddress(address!) }]).toString('hex')
    const ack = await fetch(page, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ transaction }),
    })
    return ((await ack.json()) as { memo: string }).memo
  }
  expect((await project.result('backup', 'before.sqlite')).code).toBe(0)
  expect(await pay()).toBe('Paid. Thank you.')
  await machine.stop()
  expect((await project.result('restore', 'before.sqlite')).code).toBe(0)
  machine = project.overpool(['start'])
  await machine.says(/http:\/\/127\.0\.0\.1:\d+\/shop/)
  expect((await project.result('invoice', 'shop', '--get', id!)).out).toMatch(/^state {5}paid/m)
  expect(await pay()).toMatch(/^Recorded, but this invoice was paid before/)
  await machine.stop()
})
