import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { eventOf } from '../../shared/broadcast/arcade.ts'
import { EventScanner } from '../../shared/broadcast/events.ts'
import type { Word } from '../../shared/broadcast/service.ts'
import { nodeWordOf, TABLE, wordOf } from '../../shared/broadcast/words.ts'

interface Sequence {
  source: string
  answer?: { txid: string; competingTxs: string[]; timestamp: string }
  events?: object[]
  frames?: string[]
}

const SEQUENCES: Sequence[] = JSON.parse(readFileSync(new URL('../data/field/status-sequences.json', import.meta.url), 'utf8'))
const TXID = 'ab'.repeat(32)
const OTHER = 'cd'.repeat(32)

/** The one sequence whose source contains this text. */
function sequence(source: string): Sequence {
  const [found, ...more] = SEQUENCES.filter((one) => one.source.includes(source))
  expect(more).toEqual([])
  return found!
}

const said = (answer: object, status = 200): Word => wordOf(answer, { txid: TXID, status })

describe('the sequences that real services have sent', () => {
  it('are ten, and each has a test here', () => {
    const text = readFileSync(new URL(import.meta.url), 'utf8')
    expect(SEQUENCES).toHaveLength(10)
    for (const { source } of SEQUENCES) expect(text).toContain(`('${source}'`)
  })

  it('DOUBLE_SPEND_ATTEMPTED is double-spent, open, and names the other transaction', () => {
    const { answer } = sequence('bitcoin-sv/arc#900')
    const { txid, competingTxs, timestamp } = answer!
    expect(wordOf(answer!, { txid, status: 200 })).toEqual({
      txid,
      says: 'double-spent',
      reason: 'DOUBLE_SPEND_ATTEMPTED',
      competing: competingTxs,
      mark: timestamp,
    })
  })

  it('404 is no rejection, and a status that never goes on is what it says', () => {
    sequence('bitcoin-sv/arc#840, #404, #907')
    expect(said({ title: 'Not found', status: 404 }, 404)).toEqual({ txid: TXID, says: 'unknown' })
    expect(said({ txStatus: 'SEEN_ON_NETWORK' }).says).toBe('seen')
    expect(said({ txStatus: 'ANNOUNCED_TO_NETWORK' }).says).toBe('sent')
  })

  it('a proof is passed on as it came: whoever has the headers checks its root', () => {
    sequence('bitcoin-sv/arc#779')
    const blockHash = '0000000000000000033a9ab7588980d21a53f231ddaad949c9c3100411c5784f'
    const word = said({ txStatus: 'MINED', blockHash, blockHeight: 883_827, merklePath: 'fe2b7c0d0000' })
    expect(word).toEqual({
      txid: TXID,
      says: 'mined',
      blockHash,
      height: 883_827,
      proof: new Uint8Array(Buffer.from('fe2b7c0d0000', 'hex')),
    })
  })

  it('SEEN_IN_ORPHAN_MEMPOOL is in progress', () => {
    sequence('bsv-blockchain/py-sdk#157 (2026-06)')
    expect(said({ txStatus: 'SEEN_IN_ORPHAN_MEMPOOL' })).toEqual({ txid: TXID, says: 'sent' })
  })

  it('REJECTED for a cause that is not named is worth another try', () => {
    const { events } = sequence('arcade docs/teranode-error-surfacing.md, D2; commits #310 #313 #309')
    expect(events!.map((event) => said(event))).toEqual([
      { txid: TXID, says: 'seen' },
      { txid: TXID, says: 'local', reason: 'PROCESSING (4): …' },
    ])
  })

  it('REJECTED without a cause is worth another try', () => {
    sequence('go-wallet-toolbox#997 (2026-08)')
    expect(said({ txStatus: 'REJECTED' })).toEqual({ txid: TXID, says: 'local', reason: 'REJECTED' })
    expect(said({ txStatus: 'REJECTED', status: 409, extraInfo: '' })).toEqual({ txid: TXID, says: 'local', reason: 'REJECTED' })
  })

  it('a reorganisation moves a transaction to another block, or out of its block', () => {
    const { events } = sequence('arcade models/transaction.go, #280')
    const [a, b] = ['aa', 'bb'].map((byte) => byte.repeat(32))
    const whole = (event: { blockHash?: string }) => ({ ...event, ...(event.blockHash && { blockHash: event.blockHash.repeat(32) }) })
    expect(events!.map((event) => said(whole(event)))).toEqual([
      { txid: TXID, says: 'mined', blockHash: a, height: 870_123 },
      { txid: TXID, says: 'mined', blockHash: b, height: 870_123, reorganised: true },
      { txid: TXID, says: 'seen', reorganised: true },
    ])
    expect(said({ txStatus: 'MINED_IN_STALE_BLOCK', blockHash: a })).toEqual({ txid: TXID, says: 'seen', reorganised: true })
  })

  it('frames of a stream: a comment is nothing, a gap is said, the others are words', () => {
    const { frames } = sequence('arcade docs/sse.md')
    const scanner = new EventScanner()
    const text = `${frames!.join('\n\n')}\n\n`.replaceAll('"abc"', `"${TXID}"`).replace('7dfb…', OTHER)
    const spent = `UTXO_SPENT (70): … utxo already spent by tx ${OTHER}[0]`
    const id = '1745870512987654321'
    expect(scanner.push(text).map(eventOf)).toEqual([
      { gap: true },
      { id, word: { txid: TXID, says: 'mined', mark: '2026-04-28T18:21:52.987654321Z' } },
      { id, word: { txid: TXID, says: 'double-spent', final: true, reason: spent, competing: [OTHER], mark: '2026-08-10T09:15:02Z' } },
    ])
  })

  it('an empty merklePath is no proof yet', () => {
    sequence('go-wallet-toolbox#1017, #1019 (2026-09)')
    expect(said({ txStatus: 'MINED', merklePath: '' })).toEqual({ txid: TXID, says: 'mined' })
    expect(said({ merklePath: '' })).toEqual({ txid: TXID, says: 'unknown' })
  })

  it('a transaction whose lock time is in the future stays open', () => {
    sequence('bsv-blockchain/teranode#1272 (2026)')
    const reason = 'transaction is not final'
    const answer = { error: 'transaction failed validation', reason, status: 476, title: 'Transaction not final' }
    expect(said(answer, 400)).toEqual({ txid: TXID, says: 'local', reason })
    expect(said({ txStatus: 'REJECTED', status: 476 })).toEqual({ txid: TXID, says: 'local', reason: 'REJECTED' })
    expect(nodeWordOf({ reject_code: 64, reject_reason: 'bad-txns-nonfinal' }, { txid: TXID }).says).toBe('local')
  })
})

describe('the table', () => {
  it('names a source in each row, and no value twice', () => {
    for (const row of TABLE) expect(row.source).not.toBe('')
    const keys = TABLE.map((row) => `${row.in} ${row.is}`)
    expect(keys).toEqual([...new Set(keys)])
  })

  it('is final only for named causes, and never for a status by itself', () => {
    for (const row of TABLE.filter(({ final }) => final)) {
      expect(row.in).not.toBe('status')
      expect(['rejected', 'double-spent']).toContain(row.says)
    }
    for (const row of TABLE.filter(({ says }) => says === 'rejected')) expect(row.final).toBe(true)
  })

  it.each([
    // Of Teranode, by way of Arcade.
    ['TX_INVALID (31): [ProcessTransaction][…] received transaction with no inputs', 'rejected'],
    ['TX_POLICY (39): transaction fee is too low', 'rejected'],
    ['TX_LOCK_TIME (35): lock time (9) as timestamp is not less than median block time (8)', 'local'],
    ['TX_INVALID (31): transaction sequence lock height not satisfied: required 9, current 8', 'local'],
    ['PROCESSING (4): [ProcessTransaction][…] failed to validate transaction', 'local'],
    ['TX_LOCKED (37): [Spend] utxo is not spendable for …', 'local'],
    ['TX_CONFLICTING (36): [Validate][…] tx is conflicting', 'double-spent'],
    ['STORAGE_ERROR (69): [ProcessTransaction][…] failed to save transaction', 'local'],
    ['parent rejected (ancestor …)', 'local'],
    // Of ARC.
    ['arc error 463: transaction output 0 satoshis is invalid', 'rejected'],
    ['arc error 465: fee too low', 'rejected'],
    ['arc error 460: parent transaction not found', 'local'],
    // Of a node behind ARC.
    ['258: txn-mempool-conflict', 'double-spent'],
    ['txn-double-spend-detected', 'double-spent'],
    ['16: mandatory-script-verify-flag-failed (Signature must be zero for failed CHECK(MULTI)SIG operation)', 'rejected'],
    ['16: missing-inputs', 'local'],
    ['64: non-final', 'local'],
    ['66: mempool min fee not met', 'local'],
    ['66: insufficient priority', 'local'],
    ['257: txn-already-known', 'seen'],
    ['something new', 'local'],
  ])('reads REJECTED for %j as %s', (extraInfo, says) => {
    const word = said({ txStatus: 'REJECTED', extraInfo })
    expect(word.says).toBe(says)
    expect(word.final).toBe(says === 'rejected' || extraInfo.startsWith('TX_CONFLICTING') || undefined)
  })

  it.each([
    [16, 'bad-txns-in-belowout', 'rejected'],
    [16, 'bad-txns-vin-empty', 'rejected'],
    [16, 'missing-inputs', 'local'],
    [64, 'bad-txns-nonfinal', 'local'],
    [64, 'too-long-mempool-chain', 'local'],
    [64, 'scriptpubkey', 'rejected'],
    [66, 'mempool min fee not met', 'local'],
    [257, 'txn-already-in-mempool', 'seen'],
    [258, 'txn-mempool-conflict', 'double-spent'],
    [-22, 'TX decode failed', 'rejected'],
    [-25, 'Missing inputs', 'local'],
    [-26, '258: txn-mempool-conflict', 'double-spent'],
    [-26, '16: bad-txns-vin-empty', 'rejected'],
    [-26, '66: insufficient priority', 'local'],
    [-27, 'transaction already in block chain', 'seen'],
    [99, 'something new', 'local'],
  ])('reads %i %j of a node as %s', (reject_code, reject_reason, says) => {
    expect(nodeWordOf({ reject_code, reject_reason }, { txid: TXID }).says).toBe(says)
  })

  it('takes the transactions that a node names as competing', () => {
    const refused = {
      reject_code: 258,
      reject_reason: 'txn-mempool-conflict',
      collidedWith: [{ txid: OTHER, size: 157, hex: '00' }, null, { txid: 'x' }],
    }
    expect(nodeWordOf(refused, { txid: TXID })).toEqual({
      txid: TXID,
      says: 'double-spent',
      reason: '258: txn-mempool-conflict',
      competing: [OTHER],
    })
  })

  it('has a word for a status that is new: no verdict', () => {
    expect(said({ txStatus: 'SEEN_ON_THE_MOON' })).toEqual({ txid: TXID, says: 'unknown' })
  })

  it('counts fields of a wrong form as absent', () => {
    const odd = {
      txStatus: 'MINED',
      blockHash: 'abc',
      blockHeight: -1,
      merklePath: 'xyz',
      timestamp: '0001-01-01T00:00:00Z',
      competingTxs: 7,
    }
    expect(said(odd)).toEqual({ txid: TXID, says: 'mined' })
  })
})
