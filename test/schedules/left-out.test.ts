import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { seed } from '../random.ts'
import { chainSchedulesOf, schedulesOf } from './spawn.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** The most schedules that may pass before a missing rule breaks a law. Most rules need a few dozen. */
const SCHEDULES = 4_000
/** The same of the chain's, which take ten times as long. */
const CHAIN_SCHEDULES = 300

/** A rule to leave out of the code: its only place, the code without it, and the law that then breaks. */
interface LeftOut {
  rule: string
  file: string
  from: string
  to: string
  law: RegExp
  /** it is a rule of the chain: schedules of the chain find it */
  isOfChain?: true
  /** the first schedule to run, which found it when this was written: after a change of the code another one may. Default: at random */
  first?: number
}

const RULES: LeftOut[] = [
  {
    rule: 'a writer that was overtaken looks again which of its entries are still new',
    file: 'sidecar/writer/writer.ts',
    from: '      fresh = this.#admitted(this.#stillNew(fresh))\n',
    to: '',
    law: /^an id is in the ledger twice/,
  },
  {
    rule: 'the sweep looks for blocks that another sidecar has put',
    file: 'sidecar/writer/writer.ts',
    from: 'let blocks = await stores.blocks.read(path, this.#length)\n      while',
    to: 'let blocks: Block[] = []\n      while',
    law: /^(no receipt|handler \w+ never ran|it does not come to rest)/,
  },
  {
    rule: 'the cursor and the mirror say what is to be done, not the bell',
    file: 'functions/handler/runner.ts',
    from: 'blocksUpTo(bell, this.#at.block, stores)',
    to: 'blocksUpTo(bell, bell.n, stores)',
    law: /^handler \w+ (began with|never ran)/,
  },
  {
    rule: "a handler's post has the same id when the handler runs again",
    file: 'shared/machine/accept.ts',
    from: "if (poster.source === 'handler') return idOfHandlerPost(poster.handler, poster.cause, poster.ordinal)\n",
    to: '',
    law: /^the loop step of/,
  },
  {
    rule: 'the checkpoint comes after the effects',
    file: 'sidecar/writer/effects.ts',
    from: '        await this.#goOut(next)\n        this.#done = next.at(-1)!.block.n + 1\n',
    to: '        this.#done = next.at(-1)!.block.n + 1\n        await this.#checkpoint()\n        await this.#goOut(next)\n',
    law: /^the checkpoint of \w+ is past/,
  },
  {
    rule: 'the receipts come before the bells',
    file: 'sidecar/writer/effects.ts',
    from: "    await this.#untilDone('receipts',",
    to: "    void this.#untilDone('receipts',",
    law: /^a bell for block \d+ of \w+ went out before/,
  },
  {
    rule: 'a message leaves the ingress queue after its block is in the mirror',
    file: 'sidecar/writer/writer.ts',
    from: "      const stands = await this.#untilDone('put'",
    to: "      this.#release(fresh.map(({ held }) => held))\n      const stands = await this.#untilDone('put'",
    law: /^a message left the ingress queue before/,
  },
  {
    rule: 'a post that does not come through the queue is acknowledged when its block is in the mirror',
    file: 'sidecar/writer/writer.ts',
    from: "      const stands = await this.#untilDone('put'",
    to: "      for (const { held } of fresh) this.#tell(held, true)\n      const stands = await this.#untilDone('put'",
    law: /was acknowledged before it was in the mirror or the queue$/,
  },
  {
    rule: 'a poster is told to use the queue when a store fails',
    file: 'sidecar/writer/writer.ts',
    from: '      this.#tell(held, false)\n    }\n    this.#waiting',
    to: '      this.#tell(held, true)\n    }\n    this.#waiting',
    law: /was acknowledged before it was in the mirror or the queue$/,
  },
  {
    rule: 'a post that went to the queue during its look-up is not put as well',
    file: 'sidecar/writer/writer.ts',
    from: '        if (!this.#isHeld(looked.held)) return //',
    to: '        //',
    law: /^an id is in the ledger twice/,
    first: 2_059_692_280,
  },
  {
    rule: 'ids are known until no look-up is in progress that may have missed their receipts',
    file: 'sidecar/writer/writer.ts',
    from: 'this.#recent.forget(since)',
    to: 'this.#recent.forget(this.#effects.done)',
    law: /^an id is in the ledger twice/,
  },
  {
    rule: 'in a pool that takes each transaction once, posts of one transaction are settled one after the other',
    file: 'sidecar/writer/writer.ts',
    from: '    if (unique === undefined || this.#same.join(unique, held)) this.#lookUp(held)\n',
    to: '    this.#lookUp(held)\n',
    law: /^a transaction is in \w+ twice/,
  },
  {
    rule: 'in a pool that takes each transaction once, a transaction is looked for, whatever the ids',
    file: 'sidecar/writer/writer.ts',
    from: '    if (!unique?.()) return found\n',
    to: '    if (found) return found\n',
    law: /^a transaction is in \w+ twice/,
  },
  {
    rule: 'the core follows the mirror',
    file: 'sidecar/writer/writer.ts',
    from: '          return block && (await stores.blocks.put(path, block))',
    to: '          if (block) this.#follower.append(block)\n          return block && (await stores.blocks.put(path, block))',
    law: /^the core of \w+ is no prefix of the mirror/,
  },
  {
    rule: 'a writer begins only after it has taken over what an earlier process left',
    file: 'sidecar/writer/writer.ts',
    from: '    try {\n      while (writer.#length < length',
    to: '    writer.#begin()\n    try {\n      while (writer.#length < length',
    law: /^(the core of \w+ is no prefix of the mirror|no receipt of|handler \w+ never ran)/,
  },
  {
    rule: 'the bells of one pool are answered one after the other, also when the visibility timeout of one ends',
    file: 'functions/handler/loop.ts',
    from: '(this.#running.get(pool) ?? Promise.resolve())',
    to: 'Promise.resolve()',
    law: /^two bells of/,
  },
  {
    rule: 'when a bell comes again the cursor is written, and the attempt counted, before each attempt',
    file: 'functions/handler/runner.ts',
    from: '      await this.#keep({ ...this.#at, begun: counted })\n',
    to: '',
    law: /^(handler \w+ never ran|it does not come to rest)/,
  },
  {
    rule: 'a dead letter is kept when the cursor passes over its entry',
    file: 'functions/handler/runner.ts',
    from: '...(givenUp && { givenUp })',
    to: '',
    law: /^handler \w+ (began with|never ran)/,
  },
  {
    rule: 'a state changes in the same write as the cursor',
    file: 'functions/handler/runner.ts',
    from: '      await commitState(handler, this.#pool.path, move, this.#state, this.#options)\n',
    to: '      await commitState(handler, this.#pool.path, undefined as never, this.#state, this.#options)\n      await stores.progress.writeCursor(handler, this.#pool.path, cursor)\n',
    law: /^the state of/,
  },
  {
    rule: 'a call that fails changes nothing in the state',
    file: 'functions/handler/call.ts',
    from: '    context.failed = true\n',
    to: '    context.failed = true\n    remembers?.take()\n',
    law: /^the state of/,
  },
  {
    rule: 'a payment of an invoice is in the queue before it is decided that the invoice is paid',
    file: 'shared/machine/accept.ts',
    from: '!invoice && ingress.post ?',
    to: 'ingress.post ?',
    law: /^invoice \d of \w+ was paid 0 times/,
  },
  {
    rule: 'the writer has an entry say what is decided',
    file: 'sidecar/writer/writer.ts',
    from: '          untrue = await this.#invoices.settle(posts.filter((_, i) => !found[i]))\n',
    to: '',
    law: /^invoice \d of \w+ was paid \d times/,
  },
  {
    rule: 'one conditional write decides which payment an invoice is paid by',
    file: 'shared/machine/settle.ts',
    from: 'if (stands?.entry === entry) return { ...said, state: stands.state }',
    to: 'if (stands) return { ...said, state: stands.state }',
    law: /^(invoice \d of \w+ was paid \d times)/,
  },
  {
    rule: 'a status is written only if it changes what is known',
    file: 'sidecar/writer/status-gate.ts',
    from: 'isBack && follows(now, entry)',
    to: 'isBack',
    law: /^a status that changes nothing/,
    isOfChain: true,
  },
  {
    rule: 'the block entry comes after the transactions of its block',
    file: 'sidecar/chain/follower.ts',
    from: 'block ? [...posts, block] : posts',
    to: 'block ? [block, ...posts] : posts',
    law: /^a transaction comes after its block/,
    isOfChain: true,
  },
  {
    rule: 'what was mined goes back before the reorganisation is written',
    file: 'sidecar/chain/follower.ts',
    from: '    for (const each of affected) await this.#takeBack(each.path, change.undone)\n',
    to: '',
    law: /^a reorganisation is in \w+ before what was mined is taken back|^a block is in \w+ before/,
    isOfChain: true,
  },
  {
    rule: 'while a block is taken back, nothing is written that was mined in it',
    file: 'sidecar/chain/follower.ts',
    from: '    for (const { hash } of change.undone) this.#undone.add(hash) // from now on nothing is written that was mined there\n',
    to: '',
    law: /^it does not come to rest: \w+ in shop is mined \w+, and in no block|^a reorganisation is in grid before/,
    isOfChain: true,
    first: 7,
  },
  {
    rule: 'a block that the chain comes back to counts again',
    file: 'sidecar/chain/follower.ts',
    from: '    this.#undone.delete(header.hash) // the chain may come back to it\n',
    to: '',
    law: /^it does not come to rest: \w+ in (shop|grid) is (seen|local|double-spent) , and mined in/,
    isOfChain: true,
    first: 272,
  },
  {
    rule: "the machine's own pool has a block before others have what it means",
    file: 'sidecar/chain/follower.ts',
    from: '      await this.#pools.write(own.path, [post])\n      own.moved(header, post.id, true)\n    }\n    if (isOwn) await this.#takeForInvoices(header, found, posted)\n    for (const { path } of grids) await this.#append(path, header, found, { grid: this.#pools.chain(path)! })\n    for (const pool of posted) await this.#append(pool.path, header, found, { watch: this.#options.watched(pool) })\n',
    to: '      for (const pool of posted) await this.#append(pool.path, header, found, { watch: this.#options.watched(pool) })\n      await this.#pools.write(own.path, [post])\n      own.moved(header, post.id, true)\n    }\n    for (const { path } of grids) await this.#append(path, header, found, { grid: this.#pools.chain(path)! })\n',
    law: /^it does not come to rest: \w+ in shop is (local|seen) , and mined in/,
    isOfChain: true,
    first: 3,
  },
  {
    rule: 'a pool of the chain takes back what was mined itself',
    file: 'sidecar/chain/follower.ts',
    from: '[...pools.slice(0, -1), ...(await this.#pools.posted())] : [pool]',
    to: '[...pools.slice(0, -1), ...(await this.#pools.posted())] : []',
    law: /^a reorganisation is in grid before what was mined is taken back/,
    isOfChain: true,
    first: 50,
  },
  {
    rule: 'what was mined is taken back in pools that take posts, too',
    file: 'sidecar/chain/follower.ts',
    from: '[...pools.slice(0, -1), ...(await this.#pools.posted())] : [pool]',
    to: 'pools.slice(0, -1) : [pool]',
    law: /^it does not come to rest: \w+ in shop is mined \w+, and in no block/,
    isOfChain: true,
    first: 30,
  },
  {
    rule: 'a block whose transactions were not all written is read again',
    file: 'sidecar/chain/follower.ts',
    from: 'own.moved(header, post.id, true)',
    to: 'own.moved(header, post.id)',
    law: /^it does not come to rest: (\w+ in shop is local , and mined in|the shop lacks)/,
    isOfChain: true,
    first: 30,
  },
  {
    rule: 'what a pool has gets a status from its block, not a second entry',
    file: 'sidecar/chain/follower.ts',
    from: '      if (of.seq !== undefined || (!isWanted && known.requestOf(txid) !== undefined))',
    to: '      if (false)',
    law: /^it does not come to rest: (\w+ in shop is local , and mined in|a payment is in the ledger twice)/,
    isOfChain: true,
    first: 4,
  },
  {
    rule: 'who posts a payment of an invoice and broadcasts it has paid once: its entry has one id',
    file: 'sidecar/chain/posts.ts',
    from: 'const id = idOfInvoicePayment(pool, invoice.id, txid)',
    to: "const id = idOfInvoicePayment(pool, invoice.id + ' on the chain', txid)",
    law: /^it does not come to rest: a payment is in the ledger twice/,
    isOfChain: true,
    first: 5,
  },
  {
    rule: 'a callback on a transaction that was broadcast as bytes names its request',
    file: 'shared/broadcast/broadcaster.ts',
    from: 'by: by ?? now.by, now, origin: await this.#originOf(path, now) }',
    to: 'by: by ?? now.by, now, origin: {} }',
    law: /^it does not come to rest: \w+ in shop is seen , and another one spends its output/,
    isOfChain: true,
    first: 845,
  },
  {
    rule: 'what no hint has brought is looked for in the mempool',
    file: 'sidecar/chain/follower.ts',
    from: '    await this.#unconfirmed.readMempool(source)\n',
    to: '',
    law: /^it does not come to rest: the (shop|grid) lacks/,
    isOfChain: true,
    first: 1,
  },
]

describe('a schedule breaks a law when the code leaves out the rule:', () => {
  for (const { rule, file, from, to, law, isOfChain, first: begin = seed } of RULES) {
    it(rule, { timeout: 300_000 }, async () => {
      const tree = mkdtempSync(join(tmpdir(), 'overpool-left-out-'))
      try {
        for (const part of [
          'shared',
          'functions',
          'sidecar',
          'test/schedules',
          'test/chain',
          'test/data',
          'test/random.ts',
          'package.json',
        ]) {
          cpSync(join(ROOT, part), join(tree, part), { recursive: true })
        }
        symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'), 'junction')
        const source = readFileSync(join(tree, file), 'utf8')
        expect(source.split(from), `the rule has exactly one place in ${file}`).toHaveLength(2)
        writeFileSync(
          join(tree, file),
          source.replace(from, () => to),
        )
        // A missing rule can break other laws as well, before or instead of its own.
        const others: string[] = []
        let at: number | undefined
        const [run, most] = isOfChain ? [chainSchedulesOf, CHAIN_SCHEDULES] : [schedulesOf, SCHEDULES]
        for (let first = begin; at === undefined; ) {
          const { broken } = await run(tree, begin + most - first, first)
          if (!broken) expect.fail(`in ${most} schedules from seed ${begin} no law but these was broken: ${others.join('; ')}`)
          if (law.test(broken.law)) at = broken.seed
          else others.push(broken.law)
          first = broken.seed + 1
        }
        console.log(`found by schedule ${at - begin + 1} from seed ${begin}: ${rule}`)
      } finally {
        rmSync(tree, { recursive: true, force: true })
      }
    })
  }
})
