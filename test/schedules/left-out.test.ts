import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { seed } from '../random.ts'
import { schedulesOf } from './spawn.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** The most schedules that may pass before a missing rule breaks a law. Most rules need a few dozen. */
const SCHEDULES = 4_000

/** A rule to leave out of the code: its only place, the code without it, and the law that then breaks. */
interface LeftOut {
  rule: string
  file: string
  from: string
  to: string
  law: RegExp
}

const RULES: LeftOut[] = [
  {
    rule: 'a writer that was overtaken looks again which of its entries are still new',
    file: 'sidecar/writer/writer.ts',
    from: '      fresh = this.#stillNew(fresh)\n',
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
  },
  {
    rule: 'ids are known until no look-up is in progress that may have missed their receipts',
    file: 'sidecar/writer/writer.ts',
    from: 'this.#recent.forget(this.#looked[0]?.since ?? this.#lookingSince ?? this.#effects.done)',
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
    rule: 'a dead letter is kept before the cursor passes over its entry',
    file: 'functions/handler/runner.ts',
    from: '    await stores.progress.putDead(handler, path, { seq,',
    to: '    await stores.progress.writeCursor(handler, path, { seq, block, attempts: 0 })\n    await stores.progress.putDead(handler, path, { seq,',
    law: /^handler \w+ (began with|never ran)/,
  },
]

describe('a schedule breaks a law when the code leaves out the rule:', () => {
  for (const { rule, file, from, to, law } of RULES) {
    it(rule, { timeout: 300_000 }, async () => {
      const tree = mkdtempSync(join(tmpdir(), 'overpool-left-out-'))
      try {
        for (const part of ['shared', 'functions', 'sidecar', 'test/schedules', 'test/random.ts', 'package.json']) {
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
        for (let first = seed; at === undefined; ) {
          const { broken } = await schedulesOf(tree, seed + SCHEDULES - first, first)
          if (!broken) expect.fail(`in ${SCHEDULES} schedules from seed ${seed} no law but these was broken: ${others.join('; ')}`)
          if (law.test(broken.law)) at = broken.seed
          else others.push(broken.law)
          first = broken.seed + 1
        }
        console.log(`found by schedule ${at - seed + 1} from seed ${seed}: ${rule}`)
      } finally {
        rmSync(tree, { recursive: true, force: true })
      }
    })
  }
})
