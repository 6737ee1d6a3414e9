import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import Corestore from 'corestore'
import { expect, it } from 'vitest'
import { folderLayout } from '../../local/folder.ts'
import { CoreSource } from '../../sidecar/cores/core.ts'
import { repairBlocks } from '../../sidecar/peers/repair.ts'
import { blockOf, tempDir, tempLedger } from './ledger.ts'

it('a repair keeps the good blocks that follow an invalid block of a peer', async () => {
  await using ledger = await tempLedger()
  const { blocks } = ledger.stores
  const invalid = { n: 1, first: 1, count: 0, bytes: Buffer.of(1) }
  const signed = [blockOf(0, 0, 'entry 0'), invalid, blockOf(2, 7, 'entry 7'), blockOf(3, 8, 'entry 8')]
  await blocks.putAll('a', signed)
  const file = new DatabaseSync(folderLayout(ledger.dir).ledger)
  file.exec('UPDATE blocks SET checksum = NULL') // as an earlier version wrote them: the repair reads all of them
  file.close()
  const done = await repairBlocks({ path: 'a' }, blocks, { get: async (n) => signed[n]!.bytes })
  expect(done).toEqual({ repaired: 0, lost: [] })
  const stands = await blocks.read('a', 0)
  expect(stands.map(({ first, count }) => [first, count])).toEqual([
    [0, 1],
    [1, 0],
    [7, 1],
    [8, 1],
  ])
})

it.each([
  [0, 'keeps it: a part of it may be good', true],
  [1, 'removes it, so that they are asked', false],
])('a repair with %i ms for peers that finds an unreadable block in the hypercore %s', async (peersMs, _, stays) => {
  const dir = tempDir()
  const store = new Corestore(dir)
  const unreadable = {
    encode: (bytes: Uint8Array) => bytes,
    decode() {
      throw new Error('the disk gives back other bytes')
    },
  }
  const core = store.get({ name: 'a', valueEncoding: unreadable } as never)
  await core.append([Buffer.from('block 0')], {} as never)
  const source = new CoreSource(core, peersMs, new AbortController().signal, true)
  expect(await source.get(0)).toBeUndefined()
  expect(await core.has(0)).toBe(stays)
  await store.close()
  rmSync(dir, { recursive: true })
})
