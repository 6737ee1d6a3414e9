import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { folderLayout } from '../../local/folder.ts'
import { repairBlocks } from '../../sidecar/peers/repair.ts'
import { blockOf, tempLedger } from './ledger.ts'

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
