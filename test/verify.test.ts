import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { progressOn } from '../cli/out.ts'
import { folderLayout } from '../local/folder.ts'
import type { Block } from '../shared/ledger/block.ts'
import { entriesOf } from '../shared/ledger/block.ts'
import { discoveryKeyOf } from '../shared/ledger/discovery-key.ts'
import { scanEntries } from '../shared/ledger/scanned.ts'
import type { Receipt } from '../shared/store/receipts.ts'
import { type Verified, verifyPool } from '../sidecar/cores/verify.ts'
import { damageFile } from './contract/sides.ts'
import { blockOf, type Ledger, tempLedger } from './faults/ledger.ts'

const EACH = 40

describe('verify', () => {
  it('finds nothing wrong in a pool of several blocks, and reports its progress', async () => {
    await using ledger = await filledLedger()
    const seen: { done: number; total: number }[] = []
    expect(await verify(ledger, (progress) => seen.push(progress))).toMatchObject({
      blocks: 3,
      entries: 3 * EACH,
      receipts: 3 * EACH,
      coreLength: 3,
      signedBlocks: 3,
      problems: 0,
    })
    expect(seen.at(-1)).toEqual({ done: 3 * EACH, total: 3 * EACH })
  })

  it('names an entry without a receipt before the checkpoint, and none after it', async () => {
    await using ledger = await filledLedger()
    change(ledger, 'DELETE FROM receipts WHERE seq IN (5, ?)', 2 * EACH)
    const verified = await verify(ledger)
    expect(verified).toMatchObject({ receipts: 3 * EACH - 2, problems: 1 })
    expect(verified.listed).toEqual([expect.stringMatching(/^entry 5 \([0-9a-f]{64}\) has no receipt$/)])
  })

  it('names a receipt that points to an entry of another payment', async () => {
    await using ledger = await filledLedger()
    change(ledger, 'UPDATE receipts SET seq = 1000 WHERE seq = 7')
    change(ledger, 'UPDATE receipts SET seq = 11 WHERE seq = 9')
    const { listed } = await verify(ledger)
    expect(listed).toEqual([expect.stringMatching(/^entry 7 .* has no receipt$/), expect.stringMatching(/^entry 9 .* has no receipt$/)])
  })

  it('names a payment that is in the ledger twice', async () => {
    await using ledger = await tempLedger()
    await put(ledger, [blockOf(0, 0, 'one', 'two'), blockOf(1, 2, 'three', 'one')])
    const { listed, problems } = await verify(ledger)
    expect(problems).toBe(1)
    expect(listed).toEqual([expect.stringMatching(/^the receipt of entry 3 .* points to 0$/)])
  })

  it('names a block of the mirror that was changed, since the hypercore and its signature differ', async () => {
    await using ledger = await filledLedger()
    const other = blockOf(1, EACH, ...textsOf(9))
    change(ledger, 'UPDATE blocks SET bytes = ?, checksum = NULL WHERE n = 1', other.bytes)
    const { listed, problems } = await verify(ledger)
    expect(listed).toContain('block 1 of the hypercore is not that of the mirror')
    expect(listed).toContainEqual(expect.stringMatching(/^the first 3 blocks in the mirror are not those that were signed/))
    expect(problems).toBe(2 + EACH) // none of the other block's entries has a receipt
  })

  it('names a block that cannot be read, and goes on', async () => {
    await using ledger = await filledLedger()
    change(ledger, 'UPDATE blocks SET bytes = ?, checksum = NULL WHERE n = 0', new Uint8Array(100))
    const verified = await verify(ledger)
    expect(verified).toMatchObject({ blocks: 3, receipts: 2 * EACH })
    expect(verified.listed).toContainEqual(expect.stringMatching(/^block 0 cannot be read: /))
  })

  it('names a damaged block, and verifies the others with that of the hypercore', async () => {
    await using ledger = await filledLedger()
    damageFile(folderLayout(ledger.dir).ledger, 'a', 1)
    const verified = await verify(ledger)
    expect(verified.listed).toEqual(['block 1 is damaged in the mirror: `overpool repair` takes it from the hypercore or from a peer'])
    expect(verified).toMatchObject({ blocks: 3, signedBlocks: 3, receipts: 3 * EACH })
  })

  it('names a block that is missing between others', async () => {
    await using ledger = await filledLedger()
    change(ledger, 'DELETE FROM blocks WHERE n = 1')
    expect((await verify(ledger)).listed).toContain('block 1 is missing in the mirror')
  })

  it('names blocks in the wrong order', async () => {
    await using ledger = await filledLedger()
    change(ledger, 'UPDATE blocks SET n = -1, checksum = NULL WHERE n = 1')
    change(ledger, 'UPDATE blocks SET n = 1, checksum = NULL WHERE n = 2')
    change(ledger, 'UPDATE blocks SET n = 2 WHERE n = -1')
    const { listed } = await verify(ledger)
    expect(listed).toContain(`block 1 begins with entry ${2 * EACH}, and ${EACH} comes next`)
    expect(listed).toContain('block 1 of the hypercore is not that of the mirror')
  })

  it('names a block that is missing at the end', async () => {
    await using ledger = await filledLedger()
    change(ledger, 'DELETE FROM blocks WHERE n = 2')
    expect((await verify(ledger)).listed).toEqual(['the hypercore has 3 blocks, the mirror only 2'])
  })

  it('names a block that holds more entries than its item says', async () => {
    await using ledger = await filledLedger()
    change(ledger, 'UPDATE blocks SET count = ?, checksum = NULL WHERE n = 2', EACH - 1)
    expect((await verify(ledger)).listed).toContain(`block 2 holds ${EACH} entries, and its item says ${EACH - 1}`)
  })
})

describe('verify of a followed pool', () => {
  it('tells the publisher’s faults from those of this machine', async () => {
    await using ledger = await tempLedger()
    const { stores } = ledger
    const path = 'ab'.repeat(32)
    await stores.control.create({ kind: 'peer', path, key: path, discoveryKey: discoveryKeyOf(path), createdAt: 0 })
    const blocks = [blockOf(0, 0, 'one', 'two'), blockOf(1, 2, 'three', 'one')] // the publisher has one entry twice
    await stores.blocks.putAll(path, blocks)
    await stores.receipts.put(path, blocks.flatMap(receiptsOf))
    await stores.control.update(path, { checkpoint: 2 })
    const check = async () => verifyPool((await stores.control.read(path))!, stores, undefined, undefined)
    const verified = await check()
    expect(verified).toMatchObject({ entries: 4, problems: 0, listed: [], publisherFaults: 1 })
    expect(verified.publisherListed).toEqual([expect.stringMatching(/^entries 0 and 3 \([0-9a-f]{64}\) have the same id$/)])
    change(ledger, 'DELETE FROM receipts WHERE seq = 1')
    expect(await check()).toMatchObject({ problems: 1, listed: [expect.stringMatching(/^entry 1 .* has no receipt/)], publisherFaults: 1 })
  })
})

describe('the progress of a command', () => {
  it('is one line on a terminal, erased before the result', () => {
    const { line, written, pass } = shown(true)
    line.show({ done: 1, total: 300 })
    pass(500)
    line.show({ done: 100, total: 300 })
    line.end()
    expect(written).toEqual([
      '\rverified 100 of 300 entries, 200 a second, 1 s left',
      `\r${' '.repeat('verified 100 of 300 entries, 200 a second, 1 s left'.length)}\r`,
    ])
  })

  it('is one line a second elsewhere, and no line within the first second', () => {
    const { line, written, pass } = shown(false)
    pass(900)
    line.show({ done: 90, total: 300 })
    pass(100)
    line.show({ done: 100, total: 300 })
    line.end()
    expect(written).toEqual(['verified 100 of 300 entries, 100 a second, 2 s left\n'])
  })
})

function shown(isTTY: boolean) {
  const written: string[] = []
  let now = 0
  const line = progressOn({ isTTY, write: (text) => written.push(String(text)) > 0 }, 'verified', 'entries', () => now)
  return { line, written, pass: (ms: number) => (now += ms) }
}

/** A pool of three blocks; the checkpoint is after the second. */
async function filledLedger(): Promise<Ledger> {
  const ledger = await tempLedger()
  await put(
    ledger,
    [0, 1, 2].map((n) => blockOf(n, n * EACH, ...textsOf(n))),
  )
  await ledger.stores.control.update('a', { checkpoint: 2 })
  return ledger
}

function textsOf(n: number): string[] {
  return Array.from({ length: EACH }, (_, i) => `number ${i} of block ${n}`)
}

/** Writes blocks into mirror and hypercore, and their receipts, as a machine does. */
async function put({ stores, cores }: Ledger, blocks: Block[]): Promise<void> {
  await stores.blocks.putAll('a', blocks)
  await stores.receipts.put('a', blocks.flatMap(receiptsOf))
  const core = await cores.open('a')
  await core.append(
    0,
    blocks.map(({ bytes }) => bytes),
  )
  await core.close()
}

function receiptsOf(block: Block): Receipt[] {
  return scanEntries(entriesOf(block)).map(({ id, txid }, i) => ({ key: txid!, id, txid, seq: block.first + i, block: block.n }))
}

async function verify({ stores, cores, key }: Ledger, progress?: Parameters<typeof verifyPool>[4]): Promise<Verified> {
  const core = await cores.read(key, undefined)
  try {
    return await verifyPool((await stores.control.read('a'))!, stores, core, undefined, progress)
  } finally {
    await core.close()
  }
}

/** Changes the ledger file from outside, as a person with access or a faulty disk can. */
function change({ dir }: Ledger, sql: string, ...values: (number | Uint8Array)[]): void {
  const db = new DatabaseSync(folderLayout(dir).ledger)
  db.prepare(sql).run(...values)
  db.close()
}
