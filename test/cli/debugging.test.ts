import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { type Program, Project, pay } from './project.ts'

// What an operator does with a handler that fails: pause it, redrive what it gave up, pull an entry onto a laptop.

const PRINTING = `export const onTx = (e) => { console.log('#' + e.seq, e.payment.memo) }\n`
/** Fails with the memo as its error, until the file is saved without `throw`. */
const FAILING = `export const onTx = (e) => { console.log('tried #' + e.seq); throw new Error(e.payment.memo) }\n`

async function post(url: string, ...memos: string[]): Promise<void> {
  for (const memo of memos) expect(await pay(url, sampleTransaction(memo), memo)).toBe(200)
}

/** The numbers of the entries that the handler has printed. */
const handled = ({ out }: Program) => [...out.matchAll(/^#(\d+)/gm)].map(([, seq]) => Number(seq))

// Each of these runs the command many times, and each start of it takes seconds on a busy computer.
const LONG = { timeout: 240_000 }

describe('overpool pause', () => {
  it(
    'has a handler rest in one pool at its cursor, also over kill -9 and a restart, says why, and unpause has it go on',
    LONG,
    async () => {
      await using project = Project.of({ mypool: {}, other: {} }, PRINTING)
      const first = await project.start()
      await post(`${first.url}/mypool`, 'a')
      await first.says(/^#0 a$/m)
      const reason = 'the database moves\u001b[2J'
      expect(await project.result('pause', 'mypool', '--handler', 'handler', '--reason', reason)).toMatchObject({ code: 0, err: '' })
      await post(`${first.url}/mypool`, 'b', 'c')
      await post(`${first.url}/other`, 'elsewhere')
      await first.says(/^#0 elsewhere$/m)
      await first.stop('SIGKILL')

      const second = await project.start()
      await post(`${second.url}/mypool`, 'd')
      await post(`${second.url}/other`, 'again elsewhere')
      await second.says(/^#1 again elsewhere$/m)
      const since = /20[\d-]+T[\d:.]+Z/.source
      const said = new RegExp(
        `^handler handler has been paused in mypool at #1 since ${since}: the database moves\\\\u001b\\[2J; \`overpool unpause mypool --handler handler\` lets it go on\n$`,
      )
      expect(await project.result('check')).toMatchObject({ code: 1, out: expect.stringMatching(said) })
      for (const command of ['pools', 'status'])
        expect(await project.result(command)).toMatchObject({
          code: 1,
          out: expect.stringMatching(new RegExp(`handler handler: 3 entries behind\n    paused since ${since}: the database moves`)),
        })
      expect(handled(second)).toEqual([1]) // that of the other pool

      expect((await project.result('unpause', 'mypool', '--handler', 'handler')).out).toBe('handler goes on in mypool\n')
      await second.says(/^#3 d$/m)
      expect(handled(second)).toEqual([1, 1, 2, 3])
      expect((await project.result('check')).code).toBe(0)
      expect((await project.result('unpause', 'mypool', '--handler', 'handler')).out).toBe('handler was not paused in mypool\n')
    },
  )

  it('stops a handler that works on a long backlog, after the entry under way', LONG, async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const first = await project.start()
    await post(`${first.url}/mypool`, 'first')
    await first.says(/^#0/m)
    expect((await project.result('pause', 'mypool', '--handler', 'handler')).code).toBe(0)
    const posts = Array.from({ length: 60 }, (_, i) => `${i}`)
    await post(`${first.url}/mypool`, ...posts)
    const slow = "await new Promise((resolve) => setTimeout(resolve, 300)); console.log('#' + e.seq)"
    project.write('handler.ts', `export const onTx = async (e) => { ${slow} }\n`)
    await first.says(/reloaded/)
    expect((await project.result('unpause', 'mypool', '--handler', 'handler')).code).toBe(0)
    await first.says(/^#2$/m)
    expect((await project.result('pause', 'mypool', '--handler', 'handler')).code).toBe(0)
    await new Promise((resolve) => setTimeout(resolve, 1_000)) // the entry under way
    const done = handled(first).length
    expect(done).toBeLessThan(60)
    await new Promise((resolve) => setTimeout(resolve, 1_500)) // it would have handled five more
    expect(handled(first)).toHaveLength(done)
    project.write('handler.ts', "export const onTx = (e) => { console.log('#' + e.seq) }\n")
    await until(
      () => first.err.split('reloaded').length,
      (parts) => parts === 3,
      20_000,
    )
    expect((await project.result('unpause', 'mypool', '--handler', 'handler')).code).toBe(0)
    await first.says(/^#60$/m)
    expect(handled(first)).toEqual(Array.from({ length: 61 }, (_, i) => i)) // none twice
  })

  it('refuses a handler that has not worked on the pool, and a missing name', LONG, async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    await post(`${machine.url}/mypool`, 'a')
    await machine.says(/^#0/m)
    expect(await project.result('pause', 'mypool', '--handler', 'hanlder')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no handler "hanlder" has worked on "mypool"; there are: handler'),
    })
    expect((await project.result('pause', 'mypool')).code).toBe(2)
  })
})

describe('overpool redrive in bulk', () => {
  it(
    'retries, or forgets, only what was given up for an error, or in a range; a paused handler does so when it is unpaused',
    LONG,
    async () => {
      await using project = Project.of({ mypool: { maxAttempts: 1 } }, FAILING)
      const machine = await project.start()
      await post(
        `${machine.url}/mypool`,
        'no such table: orders',
        'a full disk',
        'no such table: cups',
        'no such table: orders, again',
        'a full disk, again',
      )
      await machine.says(/gave up mypool #4/)
      const dead = async () => {
        const [state] = JSON.parse((await project.result('pools', '--json')).out).handlers as {
          dead: { seq: number; attempts: number }[]
        }[]
        return state!.dead.map(({ seq, attempts }) => [seq, attempts])
      }
      expect(await dead()).toEqual([0, 1, 2, 3, 4].map((seq) => [seq, 1]))

      // they fail again, each once
      const again = await project.result('redrive', 'mypool', '--error', 'no such table', '--from', '1', '--to', '3')
      expect(again.out).toBe('handler tries again 2 entries that it gave up\n')
      await until(
        dead,
        (letters) =>
          JSON.stringify(letters) ===
          JSON.stringify([
            [0, 1],
            [1, 1],
            [2, 2],
            [3, 2],
            [4, 1],
          ]),
      )

      expect((await project.result('redrive', 'mypool', '--drop', '--error', 'full disk', '--from', '2')).out).toBe(
        'handler: 1 entry that it gave up will not be tried again\n',
      )
      expect(await dead()).toEqual([
        [0, 1],
        [1, 1],
        [2, 2],
        [3, 2],
      ])

      project.write('handler.ts', PRINTING)
      await machine.says(/reloaded/)
      expect((await project.result('pause', 'mypool', '--handler', 'handler', '--reason', 'a release')).code).toBe(0)
      expect((await project.result('redrive', 'mypool', '--error', 'orders')).out).toBe(
        'handler tries again 2 entries that it gave up, when it is unpaused (paused: a release)\n',
      )
      expect(handled(machine)).toEqual([])
      expect((await project.result('unpause', 'mypool', '--handler', 'handler')).code).toBe(0)
      await until(
        dead,
        (letters) =>
          JSON.stringify(letters) ===
          JSON.stringify([
            [1, 1],
            [2, 2],
          ]),
      )
      expect(handled(machine)).toEqual([0, 3])

      expect((await project.result('redrive', 'mypool', '--error', 'nothing says this')).out).toBe(
        'handler: there is nothing to do in mypool\n',
      )
      expect((await project.result('redrive', 'mypool')).out).toBe('handler tries again 2 entries that it gave up\n')
      await until(dead, (letters) => letters.length === 0)
      expect(await project.result('redrive', 'mypool', '--skip', '--from', '1')).toMatchObject({ code: 2 })
    },
  )

  it('leaves a handler that stopped where it is', LONG, async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1, onPoison: 'stop' } }, FAILING)
    const machine = await project.start()
    await post(`${machine.url}/mypool`, 'a', 'b')
    await machine.says(/handler stopped at mypool #0/)
    expect((await project.result('redrive', 'mypool', '--skip')).code).toBe(0)
    await machine.says(/handler stopped at mypool #1/)
    expect((await project.result('redrive', 'mypool', '--to', '5')).out).toBe('handler tries again 1 entry that it gave up\n')
    await until(
      async () => JSON.parse((await project.result('pools', '--json')).out).handlers[0].dead[0].attempts as number,
      (attempts) => attempts === 2,
    )
    expect(machine.out.match(/tried #1/g)).toHaveLength(1)
    expect((await project.result('pools', '--json')).out).toContain('"stoppedAt":1')
  })
})

describe('overpool pull | overpool post -', () => {
  it(
    'makes an entry of one machine on another one: its id, time, cause, memo and the other fields stay, and twice is once',
    LONG,
    async () => {
      const handler = `
      export async function onTx(e, pool) {
        if (e.payment.memo === 'begin') await pool.post({ path: 'mypool', payment: { transaction: '${sampleTransaction('next')}', memo: 'a conséquence', merchantData: { n: [1] }, refundTo: 'x@example.com' } })
        console.log('#' + e.seq, e.payment.memo, e.id, e.at, JSON.stringify(e.cause), e.hops, JSON.stringify(e.payment))
      }\n`
      await using production = Project.of({ mypool: {} }, handler)
      const theirs = await production.start()
      await post(`${theirs.url}/mypool`, 'begin')
      const [line] = await theirs.says(/^#1 .*$/m)
      const pulled = await production.result('pull', 'mypool', '1')
      expect(pulled).toMatchObject({ code: 0, err: '' })

      await using laptop = Project.of({ mypool: {}, debugging: {} }, handler)
      const ours = await laptop.start()
      const posted = async (...args: string[]) => {
        const program = laptop.overpool(['post', ...args], { input: pulled.out })
        return { code: await program.ended(), out: program.out, err: program.err }
      }
      expect(await posted('-')).toEqual({ code: 0, err: '', out: '1 entry posted to mypool\n' })
      const [made] = await ours.says(/^#0 .*$/m)
      expect(made.slice(2)).toBe(line.slice(2)) // everything but its number
      expect(await posted('-')).toEqual({ code: 0, err: '', out: '0 entries posted to mypool; 1 was there already\n' })
      expect((await posted('debugging', '-')).out).toBe('1 entry posted to debugging\n')
      expect(await posted('-', '--memo', 'other')).toMatchObject({ code: 2, err: expect.stringContaining('posted as it is') })
      expect((await laptop.result('pools', '--json')).out).toContain('"entries":1')
    },
  )

  it('refuses what is no entry, with what to do', LONG, async () => {
    await using project = Project.of({ mypool: {} }, PRINTING)
    const machine = await project.start()
    await post(`${machine.url}/mypool`, 'a')
    expect(await project.result('pull', 'mypool', '7')).toMatchObject({ code: 1, err: expect.stringContaining('has no entry #7') })
    expect((await project.result('pull', 'mypool', 'x')).code).toBe(2)
    const posted = async (input: string, ...args: string[]) => {
      const program = project.overpool(['post', ...args], { input })
      return { code: await program.ended(), err: program.err }
    }
    expect(await posted('{"path":"mypool"}', '-')).toMatchObject({ code: 2, err: expect.stringContaining('as `overpool pull` prints it') })
    expect(await posted('{"path', '-')).toMatchObject({ code: 2, err: expect.stringContaining('this is no JSON') })
    expect(await posted(sampleTransaction('x'), '-')).toMatchObject({ code: 2, err: expect.stringContaining('name a pool') })
    expect(await posted(sampleTransaction('x'), 'mypool', '-')).toMatchObject({ code: 0 })
    const id = 'ab'.repeat(32)
    const entry = { path: 'mypool', id, at: 1, source: 'http', hops: 0, payment: { transaction: 'ff' } }
    expect((await posted(JSON.stringify(entry), '-')).code).toBe(2)
    expect((await posted(JSON.stringify({ ...entry, path: 'nopool' }), '-')).err).toContain('no pool named "nopool"')
  })
})
