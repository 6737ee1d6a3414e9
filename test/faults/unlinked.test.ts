import { renameSync, rmSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { folderLayout } from '../../local/folder.ts'
import { EmbeddedMachine } from '../../local/machine.ts'
import { lineOf } from '../../local/report.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { tempDir } from './ledger.ts'

let dir: string
let machine: EmbeddedMachine
let url: string
let lines: string[]
beforeEach(async () => {
  dir = tempDir()
  lines = []
  machine = await EmbeddedMachine.open({ dir, report: (report) => lines.push(lineOf(report) ?? '') })
  await machine.create('a')
  url = (await machine.listen(['a'], 0, '127.0.0.1')).url
})
afterEach(async () => {
  await machine.close()
  rmSync(dir, { recursive: true, force: true })
})

async function post(text: string): Promise<number> {
  const body = JSON.stringify({ transaction: sampleTransaction(text) })
  const answer = await fetch(`${url}/a`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  await answer.text()
  return answer.status
}

const removals: [what: string, remove: () => void][] = [
  ['its ledger file', () => rmSync(folderLayout(dir).ledger)],
  ["its ledger file's log", () => rmSync(`${folderLayout(dir).ledger}-wal`)],
  ['its whole folder', () => rmSync(dir, { recursive: true })],
]

it.each(removals)('a running machine that loses %s says so, and acknowledges nothing more', async (_, remove) => {
  expect(await post('before')).toBe(200)
  remove()
  expect(await post('after')).toBe(503)
  await until(
    () => lines.join('\n'),
    (said) => said.includes(`${folderLayout(dir).ledger}`) && said.includes('removed or replaced'),
  )
  expect(await post('later')).toBe(503)
})

it('a machine without payments notices that its ledger file is gone', async () => {
  rmSync(folderLayout(dir).ledger)
  await until(
    () => lines.join('\n'),
    (said) => said.includes('removed or replaced'),
  )
})

it('a ledger file that was moved away and back is used again', async () => {
  expect(await post('before')).toBe(200)
  renameSync(folderLayout(dir).ledger, `${folderLayout(dir).ledger}.away`)
  expect(await post('meanwhile')).toBe(503)
  renameSync(`${folderLayout(dir).ledger}.away`, folderLayout(dir).ledger)
  expect(
    await until(
      () => post('meanwhile'),
      (status) => status === 200,
    ),
  ).toBe(200)
  await machine.close()
  machine = await EmbeddedMachine.open({ dir, report: () => {} })
  await machine.create('a')
  // The second one may have waited in the queue.
  await until(
    () => machine.pools.length('a'),
    (length) => length === 2,
  )
})
