import { expect, it } from 'vitest'
import { answerBell } from '../../functions/handler/runner.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { ReorgEvent, StatusEvent, TxEvent } from '../../shared/ledger/event.ts'
import type { EntryId, ReorgEntry, StatusEntry, TxEntry } from '../../shared/ledger/kinds.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import { decodeValue } from '../../shared/state/values.ts'
import { transactionFromHex } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { type Ledger, oneAttempt, tempLedger } from '../faults/ledger.ts'
import { random, seed } from '../random.ts'

// Statuses of what was mined, payments that come between them, and reorganisations, through the real runner over SQLite.

type Step = { memo: string; blockHash?: string; height?: number } | { undone: string[]; to: number }

const hash = (height: number, branch: number) => Buffer.from(`${height}:${branch}`).toString('hex').padEnd(64, '0')
let ids = 0
const nextId = () => (++ids).toString(16).padStart(64, '0') as EntryId

function entryOf(step: Step): Uint8Array {
  const common = { id: nextId(), at: 0, hops: 0 }
  if ('undone' in step) {
    const place = { height: step.to, hash: hash(step.to, 0) }
    return encodeEntry({ ...common, kind: 'reorg', source: 'chain', from: place, to: place, undone: step.undone } satisfies ReorgEntry)
  }
  const { memo, ...block } = step
  if (block.blockHash) {
    const of = { txid: nextId() as string, seq: 0 }
    return encodeEntry({ ...common, kind: 'status', source: 'chain', of, status: 'mined', by: memo, ...block } satisfies StatusEntry)
  }
  const { bytes: tx } = transactionFromHex(sampleTransaction(`${ids}`))
  return encodeEntry({ ...common, kind: 'tx', source: 'http', tx, payment: { memo } } satisfies TxEntry)
}

interface Functions {
  tx: (event: TxEvent | StatusEvent, state: HandlerState) => unknown
  reorg?: (event: ReorgEvent, state: HandlerState) => unknown
}

/** Appends these steps to the pool, each in a ledger block of its own or all in one, and runs the handler on them. */
async function run({ stores, key }: Ledger, steps: Step[], functions: Functions, together = random() < 0.5): Promise<void> {
  const groups = together ? [steps] : steps.map((step) => [step])
  for (const group of groups) {
    const last = await stores.blocks.last('a')
    const [n, first] = last ? [last.n + 1, last.first + last.count] : [0, 0]
    await stores.blocks.put('a', encodeBlock(n, first, group.map(entryOf)))
    const answer = await answerBell({ pool: 'a', n }, { key }, 1, Date.now() + 60_000, {
      handler: 'main',
      ...oneAttempt(),
      stores,
      report: (said) => expect(said).toBeUndefined(),
      functions: { reorg: () => {}, status: functions.tx, ...functions },
      undoes: true,
    })
    expect(answer).toEqual({ done: true })
  }
}

async function values({ stores }: Ledger): Promise<Record<string, unknown>> {
  const all = await stores.state.list('main', 'a', { limit: 1_000 })
  return Object.fromEntries(all.map(({ key, value }) => [key, decodeValue(value)]))
}

/** `key=value` sets a key, `key+n` adds to it. */
async function write(event: TxEvent | StatusEvent, state: HandlerState): Promise<void> {
  for (const one of (event.kind === 'tx' ? event.payment.memo! : event.by!).split(' ')) {
    const [, key, how, text] = /^(.*)([=+])(.*)$/.exec(one)!
    if (how === '=') await state.set(key!, text || undefined)
    else await state.update(key!, (value) => ((value as number) ?? 0) + Number(text))
  }
}

it('a reorganisation takes back what was changed because of its blocks, before the handler is called', async () => {
  await using ledger = await tempLedger()
  const mined = (height: number, memo: string) => ({ memo, height, blockHash: hash(height, 0) })
  let seen: unknown
  await run(ledger, [{ memo: 'a=1 n+1' }, mined(100, 'a=2 b=2 n+2'), mined(101, 'a=3 c=3 n+3 b='), { undone: [hash(101, 0)], to: 100 }], {
    tx: write,
    reorg: async (_e, state) => {
      seen = [await state.get('a'), await state.get('b'), await state.get('c'), await state.get('n')]
    },
  })
  expect(seen).toEqual(['2', '2', undefined, 3])
  expect(await values(ledger)).toEqual({ a: '2', b: '2', n: 3 })
})

it('a number that later entries changed loses only what was undone; another value of a later entry stays, and the handler is told', async () => {
  await using ledger = await tempLedger()
  const mined = (height: number, memo: string) => ({ memo, height, blockHash: hash(height, 0) })
  let kept: string[] | undefined
  await run(
    ledger,
    [{ memo: 'n+1 a=old' }, mined(100, 'n+10 a=chain b=chain'), { memo: 'n+100 a=new' }, { undone: [hash(100, 0)], to: 99 }],
    {
      tx: write,
      reorg: (e) => {
        kept = e.kept
      },
    },
  )
  expect(await values(ledger)).toEqual({ n: 101, a: 'new' })
  expect(kept).toEqual(['a'])
})

it('a block that was undone before is not undone again by a deeper reorganisation', async () => {
  await using ledger = await tempLedger()
  const mined = (height: number, branch: number, memo: string) => ({ memo, height, blockHash: hash(height, branch) })
  await run(
    ledger,
    [
      { memo: 'a=start n+1' },
      mined(100, 0, 'a=100 n+10'),
      mined(101, 0, 'a=101 n+100'),
      { undone: [hash(101, 0)], to: 100 },
      mined(101, 1, 'a=101b n+1000'),
      { undone: [hash(101, 1), hash(100, 0)], to: 99 },
    ],
    { tx: write },
  )
  expect(await values(ledger)).toEqual({ a: 'start', n: 1 })
})

it('is made for a handler without onReorg, past changes of older blocks, and leaves what onReorg itself has written', async () => {
  await using ledger = await tempLedger()
  const mined = (height: number, branch: number, memo: string) => ({ memo, height, blockHash: hash(height, branch) })
  const { stores } = ledger
  await run(ledger, [mined(101, 0, 'n+5 a=101'), mined(60, 0, 'n+100'), { undone: [hash(101, 0)], to: 100 }], {
    tx: write,
    reorg: undefined as never,
  })
  expect(await values(ledger)).toEqual({ n: 100 })
  const reorg = (_e: ReorgEvent, state: HandlerState) => state.update('reorgs', (n) => ((n as number) ?? 0) + 1)
  await run(
    ledger,
    [mined(101, 1, 'n+7'), { undone: [hash(101, 1)], to: 100 }, mined(101, 0, 'n+9'), { undone: [hash(101, 0)], to: 100 }],
    { tx: write, reorg },
  )
  expect(await values(ledger)).toEqual({ n: 100, reorgs: 2 })
  expect(await stores.progress.listDead('main', 'a')).toEqual([])
})

it('an undo that a handler fails after is not made', async () => {
  await using ledger = await tempLedger()
  const { stores, key } = ledger
  const mined = { memo: 'a=1', height: 100, blockHash: hash(100, 0) }
  await run(ledger, [mined], { tx: write })
  await stores.blocks.put('a', encodeBlock(1, 1, [entryOf({ undone: [hash(100, 0)], to: 99 })]))
  const options = {
    handler: 'main',
    ...oneAttempt(),
    maxAttempts: 5,
    stores,
    report: () => {},
    undoes: true,
  }
  let fails = true
  const reorg = (_e: ReorgEvent, state: HandlerState) => {
    void state.update('undone', (n) => ((n as number) ?? 0) + 1)
    if (fails) throw new Error('not yet')
  }
  expect(await answerBell({ pool: 'a', n: 1 }, { key }, 1, Date.now() + 60_000, { ...options, functions: { reorg } })).toMatchObject({
    done: false,
  })
  expect(await values(ledger)).toEqual({ a: '1' })
  fails = false
  expect(await answerBell({ pool: 'a', n: 1 }, { key }, 2, Date.now() + 60_000, { ...options, functions: { reorg } })).toEqual({
    done: true,
  })
  expect(await values(ledger)).toEqual({ undone: 1 })
})

it('a bank keeps its total through random reorganisations, and has the transfers that the best chain and the wallets say', {
  timeout: 60_000,
}, async () => {
  console.log(`seed ${seed}`)
  const pick = (n: number) => Math.floor(random() * n)
  for (let round = 0; round < 20; round++) {
    await using ledger = await tempLedger()
    /** the blocks of the best chain, by height from 1 on */
    const chain: string[] = []
    const booked: { blockHash?: string; from: number; to: number; amount: number }[] = []
    const steps: Step[] = []
    let branch = 0
    for (let i = 0; i < 40; i++) {
      if (chain.length > 1 && random() < 0.2) {
        const undone = chain.splice(-1 - pick(Math.min(4, chain.length - 1))).reverse()
        steps.push({ undone, to: chain.length })
        for (const transfer of booked.splice(0)) if (!undone.includes(transfer.blockHash!)) booked.push(transfer)
        branch++
      } else {
        if (random() < 0.6) chain.push(hash(chain.length + 1, branch))
        const [from, to, amount] = [pick(4), pick(4), pick(9) + 1]
        const isMined = chain.length > 0 && random() < 0.6
        const block = isMined ? { blockHash: chain.at(-1)!, height: chain.length } : {}
        booked.push({ from, to, amount, ...block })
        steps.push({ memo: `${from}+${-amount} ${to}+${amount}`, ...block })
      }
    }
    for (let i = 0; i < steps.length; ) {
      const size = 1 + pick(10)
      await run(ledger, steps.slice(i, i + size), { tx: write })
      i += size
    }
    const expected: Record<string, number> = {}
    for (const { from, to, amount } of booked) {
      expected[from] = (expected[from] ?? 0) - amount
      expected[to] = (expected[to] ?? 0) + amount
    }
    const state = (await values(ledger)) as Record<string, number>
    expect(Object.values(state).reduce((sum, n) => sum + n, 0)).toBe(0)
    for (const n of [0, 1, 2, 3]) expect(state[n] ?? 0).toBe(expected[n] ?? 0)
  }
})
