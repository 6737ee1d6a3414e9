import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Broadcaster } from '../../shared/broadcast/broadcaster.ts'
import type { Word } from '../../shared/broadcast/service.ts'
import { systemClock } from '../../shared/clock.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import { idOfStatus } from '../../shared/ledger/ids.ts'
import type { StatusEntry } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import { follows, type TxStatus } from '../../shared/ledger/status.ts'
import { CoreStore } from '../../sidecar/cores/core.ts'
import { DirectIngress } from '../../sidecar/writer/direct-ingress.ts'
import { IngressConsumer } from '../../sidecar/writer/ingress-consumer.ts'
import type { KnownChain } from '../../sidecar/writer/status-gate.ts'
import { type Ledger, tempLedger } from '../faults/ledger.ts'

const [A, B] = ['aa'.repeat(32), 'bb'.repeat(32)] as [string, string]
const proof = new Uint8Array([1])

const NOW: Record<string, TxStatus | undefined> = {
  nothing: undefined,
  local: { status: 'local', reason: 'one' },
  sent: { status: 'sent' },
  seen: { status: 'seen' },
  'mined in A': { status: 'mined', blockHash: A },
  'mined in A, proven': { status: 'mined', blockHash: A, proven: true },
  rejected: { status: 'rejected', final: true },
  'double-spent': { status: 'double-spent' },
  'double-spent for good': { status: 'double-spent', final: true },
}
const SAID: Record<string, Parameters<typeof follows>[1]> = {
  'local one': { status: 'local', reason: 'one' },
  'local two': { status: 'local', reason: 'two' },
  sent: { status: 'sent' },
  seen: { status: 'seen' },
  'back from A': { status: 'seen', undone: A },
  'back from B': { status: 'seen', undone: B },
  'in A': { status: 'mined', blockHash: A },
  'in A, proven': { status: 'mined', blockHash: A, proof },
  'in B': { status: 'mined', blockHash: B },
  'in B, proven': { status: 'mined', blockHash: B, proof },
  rejected: { status: 'rejected', final: true },
  'double-spent': { status: 'double-spent' },
  'double-spent for good': { status: 'double-spent', final: true },
  'of a later version': { status: 'frozen' },
}

describe('a status follows on another one', () => {
  // A column for each of NOW; + is written, · is not.
  const RULE: [said: string, row: string][] = [
    ['local one', '+········'],
    ['local two', '++·······'],
    ['sent', '++····+··'],
    ['seen', '+++···+··'],
    ['back from A', '+++·+++··'],
    ['back from B', '+++···+··'],
    ['in A', '++++··+++'],
    ['in A, proven', '+++++·+++'],
    ['in B', '+++++·+++'],
    ['in B, proven', '+++++++++'],
    ['rejected', '+++····+·'],
    ['double-spent', '++++··+··'],
    ['double-spent for good', '++++··++·'],
    ['of a later version', '+++++++++'],
  ]

  it.each(RULE)('%s: %s', (said, row) => {
    const can = Object.values(NOW).map((now) => (follows(now, SAID[said]!) ? '+' : '·'))
    expect(can.join('')).toBe(row)
  })

  it('and every one is in the table', () => {
    expect(RULE.map(([said]) => said)).toEqual(Object.keys(SAID))
  })

  it('but never on an equal one', () => {
    for (const entry of Object.values(SAID).slice(0, -1)) {
      const now = { ...entry, ...(entry.proof && { proven: true }) } as TxStatus
      expect(follows(now, { ...entry, undone: undefined }), entry.status).toBe(false)
    }
  })
})

/** A writer of pool `a` over a real ledger, beside a chain that the test makes up. */
function sidecarOf(ledger: Ledger, chain?: KnownChain, cores: CoreStore = ledger.cores): IngressConsumer & AsyncDisposable {
  const { stores, ingress } = ledger
  const consumer = IngressConsumer.start({
    stores,
    ingress,
    cores,
    clock: systemClock,
    ringers: () => [],
    report: () => {},
    chain,
    sweepMs: 50,
  })
  return Object.assign(consumer, { [Symbol.asyncDispose]: () => consumer.stop() })
}

/** The chain of a test: the blocks in which everything is proven, and those that were taken back. */
class MadeUpChain implements KnownChain {
  readonly best = new Set<string>()
  readonly undone = new Set<string>()

  async proves({ blockHash, proof: path }: StatusEntry): Promise<boolean> {
    return path !== undefined && this.best.has(blockHash!)
  }

  isUndone(hash: string): boolean {
    return this.undone.has(hash)
  }
}

const TXID = 'ab'.repeat(32)
let claims = 0

function claimOf(said: Parameters<typeof follows>[1]): IngressMessage {
  const id = idOfStatus(TXID, said.status, `${claims++}`)
  const entry: StatusEntry = { kind: 'status', id, at: 0, source: 'test', hops: 0, of: { txid: TXID }, ...said }
  return { pool: 'a', id, kind: 'status', named: true, entry: encodeEntry(entry) }
}

async function statusesIn({ stores }: Ledger): Promise<StatusEntry[]> {
  const blocks = await stores.blocks.read('a', 0)
  return blocks.flatMap(entriesOf).filter((entry) => entry.kind === 'status')
}

async function saidIn(ledger: Ledger): Promise<string[]> {
  return (await statusesIn(ledger)).map(({ status, blockHash }) =>
    blockHash === undefined ? status : `${status} ${blockHash.slice(0, 2)}`,
  )
}

/** Posts in the order of the calls, and waits until the writer has taken or refused each. */
async function post(sidecar: IngressConsumer, ...posts: IngressMessage[]): Promise<void> {
  const writer = await sidecar.writer('a')
  await Promise.all(posts.map((one) => new Promise((done) => writer.acceptDirect(one, done))))
}

describe('the gate of a pool', () => {
  it('writes what changes something, however often and in whatever order services say it', async () => {
    for (let round = 0; round < 30; round++) {
      await using ledger = await tempLedger()
      await using sidecar = sidecarOf(ledger)
      const all = Object.values(SAID)
        .slice(0, -1)
        .map((said) => claimOf(said))
      const shuffled = [...all, ...all].map((one) => ({ one, at: Math.random() })).sort((x, y) => x.at - y.at)
      for (let i = 0; i < shuffled.length; i += 1 + (round % 5))
        await post(sidecar, ...shuffled.slice(i, i + 1 + (round % 5)).map(({ one }) => one))
      let now: TxStatus | undefined
      for (const entry of await statusesIn(ledger)) {
        expect(follows(now, entry), `${now?.status} then ${entry.status}`).toBe(true)
        now = { ...entry, status: entry.status as TxStatus['status'], ...(entry.proof && { proven: true }) } as TxStatus
      }
    }
  })

  it('lets two writers of one pool write no status twice', async () => {
    await using ledger = await tempLedger()
    const otherCores = new CoreStore(join(ledger.dir, 'other cores'), new Uint8Array(32).fill(7))
    await using _ = { [Symbol.asyncDispose]: () => otherCores.close() }
    await using one = sidecarOf(ledger)
    await using other = sidecarOf(ledger, undefined, otherCores)
    for (const sidecar of [one, other]) await sidecar.writer('a')
    const steps = [SAID['local one'], SAID.sent, SAID.seen, SAID['in A'], SAID['in B']]
    for (const said of steps)
      await Promise.all([one, other].flatMap((sidecar) => [post(sidecar, claimOf(said!)), post(sidecar, claimOf(said!))]))
    expect(await saidIn(ledger)).toEqual(['local', 'sent', 'seen', 'mined aa', 'mined bb'])
  })

  it('refuses what a service takes back if the chain has proven it meanwhile', async () => {
    await using ledger = await tempLedger()
    const chain = new MadeUpChain()
    chain.best.add(A)
    await using sidecar = sidecarOf(ledger, chain)
    await post(sidecar, claimOf(SAID.seen!), claimOf(SAID['in A, proven']!))
    await post(sidecar, claimOf(SAID['back from A']!))
    expect(await saidIn(ledger)).toEqual(['seen', 'mined aa'])
    chain.undone.add(A)
    await post(sidecar, claimOf(SAID['back from A']!), claimOf(SAID['in A, proven']!))
    expect(await saidIn(ledger)).toEqual(['seen', 'mined aa', 'seen'])
  })

  it('lets nothing be mined that no proof leads to, and nothing in a block that was taken back', async () => {
    await using ledger = await tempLedger()
    const chain = new MadeUpChain()
    await using sidecar = sidecarOf(ledger, chain)
    await post(sidecar, claimOf(SAID['in A']!), claimOf(SAID['in A, proven']!))
    chain.best.add(A)
    chain.undone.add(A)
    await post(sidecar, claimOf(SAID['in A, proven']!))
    expect(await saidIn(ledger)).toEqual([])
  })
})

describe('what the broadcaster hears', () => {
  const word = (said: Omit<Word, 'txid'>): Word => ({ txid: TXID, ...said })

  async function heard(words: Word[], from: { isAgain?: true } = {}): Promise<string[]> {
    await using ledger = await tempLedger()
    await using consumer = sidecarOf(ledger)
    const ingress = new DirectIngress({ queue: ledger.ingress, consumer })
    const { stores } = ledger
    const broadcaster = new Broadcaster({ services: [], stores, ingress, clock: systemClock, knowsChain: false })
    const writer = await consumer.writer('a')
    for (const [i, one] of words.entries()) {
      const [now] = await stores.statuses.newest('a', [TXID])
      await broadcaster.record('a', [
        { word: one, by: 'a service', now: from.isAgain ? undefined : now, origin: { cause: { key: A, seq: i } } },
      ])
      await writer.settled()
    }
    return saidIn(ledger)
  }

  it('counts again when the truth comes back to it, though the service gives no time', async () => {
    const inA = word({ says: 'mined', blockHash: A })
    const inB = word({ says: 'mined', blockHash: B })
    const back = word({ says: 'seen', reorganised: true })
    expect(await heard([inA, inB, inA, back, inA, back])).toEqual(['mined aa', 'mined bb', 'mined aa', 'seen', 'mined aa', 'seen'])
  })

  it('counts again when the transaction is broadcast once more', async () => {
    const rejected = word({ says: 'rejected', final: true, reason: 'dust' })
    expect(await heard([word({ says: 'sent' }), rejected, word({ says: 'sent' }), rejected], { isAgain: true })).toEqual([
      'sent',
      'rejected',
      'sent',
      'rejected',
    ])
  })

  it('is local when it was rejected for no named cause: it is sent again', async () => {
    expect(await heard([word({ says: 'rejected', reason: 'busy' }), word({ says: 'rejected', reason: 'busy' })])).toEqual(['local'])
    expect(await heard([word({ says: 'seen' }), word({ says: 'rejected', reason: 'busy' })])).toEqual(['seen'])
  })
  it('goes back to the request of the transaction, also when a service speaks by itself: so it can be sent again', async () => {
    await using ledger = await tempLedger()
    await using consumer = sidecarOf(ledger)
    const ingress = new DirectIngress({ queue: ledger.ingress, consumer })
    const { stores } = ledger
    const broadcaster = new Broadcaster({ services: [], stores, ingress, clock: systemClock, knowsChain: false })
    const writer = await consumer.writer('a')
    const cause = { key: A, seq: 0 }
    await broadcaster.record('a', [{ word: word({ says: 'sent' }), by: 'a service', origin: { cause } }])
    await writer.settled()
    await broadcaster.hear(word({ says: 'seen' }))
    await writer.settled()
    expect((await statusesIn(ledger)).map(({ status, by, cause }) => ({ status, by, cause }))).toEqual([
      { status: 'sent', by: 'a service', cause },
      { status: 'seen', by: 'a service', cause },
    ])
  })
})
