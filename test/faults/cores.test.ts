import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openFolder } from '../../client/folder.ts'
import { folderLayout } from '../../local/folder.ts'
import { EmbeddedMachine } from '../../local/machine.ts'
import { lineOf } from '../../local/report.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { CoreStore } from '../../sidecar/cores/core.ts'
import { tempDir } from './ledger.ts'

let dir: string
let lines: string[]
beforeEach(async () => {
  dir = tempDir()
  lines = []
  await started('before')
})
afterEach(() => rmSync(dir, { recursive: true }))

/** Starts the machine, posts if there is a text, and stops it. */
async function started(text?: string): Promise<void> {
  const machine = await EmbeddedMachine.open({ dir, report: (report) => lines.push(...[lineOf(report) ?? []].flat()) })
  try {
    await machine.create('a')
    if (text) await machine.pools.post({ path: 'a', payment: sampleTransaction(text) })
  } finally {
    await machine.close()
  }
}

async function verified() {
  await using machine = openFolder(dir)
  return await machine.verify('a')
}

const db = (name = '') => join(folderLayout(dir).cores, 'db', name)
const manifest = () => db(readdirSync(db()).find((name) => name.startsWith('MANIFEST')))

/** Fills the hypercores until their store writes tables, and flips bits in all of them. */
async function damageTables(): Promise<void> {
  const cores = new CoreStore(folderLayout(dir).cores, new Uint8Array(32))
  const core = await cores.open('another')
  await core.append(
    0,
    Array.from({ length: 12 }, () => randomBytes(500_000)),
  )
  await cores.close()
  const tables = readdirSync(db()).filter((name) => name.endsWith('.sst'))
  expect(tables).not.toEqual([])
  for (const name of tables) {
    const bytes = readFileSync(db(name))
    bytes[100]! ^= 1
    writeFileSync(db(name), bytes)
  }
}

const damages: [what: string, damage: () => void][] = [
  ['an unreadable CURRENT', () => writeFileSync(db('CURRENT'), 'garbage')],
  ['no CURRENT', () => rmSync(db('CURRENT'))],
  ['an unreadable MANIFEST', () => writeFileSync(manifest(), 'garbage')],
  ['no MANIFEST', () => rmSync(manifest())],
  [
    'a file in the place of their folder',
    () => {
      rmSync(db(), { recursive: true })
      writeFileSync(db(), 'a file')
    },
  ],
  [
    'a file in the place of `cores`',
    () => {
      rmSync(folderLayout(dir).cores, { recursive: true })
      writeFileSync(folderLayout(dir).cores, 'a file')
    },
  ],
]

it.each(damages)('hypercores with %s are made again, the same to the last bit', async (_, damage) => {
  const before = await verified()
  damage()
  await started()
  expect(lines.join('\n')).toContain(`the hypercores in ${folderLayout(dir).cores} could not be opened and are made again`)
  expect(existsSync(`${folderLayout(dir).cores}.damaged`)).toBe(true)
  expect(await verified()).toEqual(before)
  await started('after')
  expect(await verified()).toMatchObject({ problems: 0, coreLength: 2, signedBlocks: 2 })
})

it('a hypercore that cannot be read, in a store that can, is named with the folder to remove', async () => {
  await damageTables()
  await expect(started()).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining(`remove ${folderLayout(dir).cores}`),
  })
  rmSync(folderLayout(dir).cores, { recursive: true })
  await started('after')
  expect(await verified()).toMatchObject({ problems: 0, coreLength: 2, signedBlocks: 2 })
})

it('a command that reads hypercores with an unreadable CURRENT says what to do', async () => {
  writeFileSync(db('CURRENT'), 'garbage')
  await expect(verified()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('at its next start') })
  expect(readFileSync(db('CURRENT'), 'utf8'), 'it changes nothing').toBe('garbage')
})
