import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../machine/machine.ts'
import { type Program, Project } from './project.ts'

const COUNTER = `import { defineHandler } from 'overpool-cloud'

export default defineHandler<{ entries: number; [memo: \`memo \${string}\`]: number }>({
  async onTx(e, pool, state) {
    await state.update('entries', (n = 0) => n + 1)
    await state.set(\`memo \${e.payment.memo}\`, e.seq)
    if (e.hops === 0) pool.post({ path: 'log', payment: { transaction: e.payment.transaction, memo: 'of ' + e.payment.memo } })
    if (e.payment.memo === 'bad') throw new Error('no bad memos')
  },
})
`
const CONFIG = `export default { handler: './counter.ts', pools: { shop: { maxAttempts: 1, retryForMs: 0 }, log: {} } }\n`

describe('overpool state and replay', { timeout: 120_000 }, () => {
  let project: Project
  let machine: Program
  const state = (...args: string[]) => project.result('state', 'counter', ...args)
  beforeAll(async () => {
    project = new Project()
    project.write('overpool.config.ts', CONFIG)
    project.write(
      'counter.ts',
      COUNTER.replace("import { defineHandler } from 'overpool-cloud'\n", 'const defineHandler = <T>(handler: object) => handler\n'),
    )
    machine = project.overpool(['start'])
    await machine.says(/\/shop/)
    for (const memo of ['a', 'b', 'bad', 'c']) await project.result('post', 'shop', '--sample', '--memo', memo)
    await until(
      () => state('entries', '--pool', 'shop'),
      ({ out }) => out === '3\n',
    )
    await until(
      () => state('entries', '--pool', 'log'),
      ({ out }) => out === '4\n',
    )
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  it('show what a handler remembers: all of it, a key, a prefix, and how it was before', async () => {
    expect((await state('--pool', 'shop')).out).toBe('entries  3\nmemo a  0\nmemo b  1\nmemo c  3\n')
    expect((await state('--pool', 'shop', '--prefix', 'memo')).out).toBe('memo a  0\nmemo b  1\nmemo c  3\n')
    expect((await state('entries', '--pool', 'shop', '--at', '1')).out).toBe('2\n')
    expect((await state('--pool', 'shop', '--at', '0')).out).toBe('entries  1\nmemo a  0\n')
    expect((await project.result('--json', 'state', 'counter', 'entries', '--pool', 'shop')).out).toBe('{"key":"entries","value":3}\n')
  })

  it('say what is missing or wrong', async () => {
    expect(await state()).toMatchObject({
      code: 2,
      err: expect.stringMatching(/a state for each of its pools: add --pool \w+ or --pool \w+/) as unknown,
    })
    expect(await state('nothing', '--pool', 'shop')).toMatchObject({
      code: 1,
      err: expect.stringContaining('"counter" has nothing under the key "nothing"') as unknown,
    })
    expect((await project.result('state', 'nobody', '--pool', 'shop')).err).toContain(
      'no handler "nobody" has worked on "shop"; there are: counter',
    )
    expect((await state('entries', '--pool', 'shop', '--set', 'ten')).err).toContain('the value is not JSON')
    expect((await state('--pool', 'shop', '--set', '1')).err).toContain('name the key')
    expect((await project.result('replay', 'shop', '--handler', 'nobody')).err).toContain('has no handler "nobody"; it has: counter')
    expect((await project.result('replay', 'shop', '--handler', 'counter', '--compare')).err).toContain(
      '--compare compares the state of the handler with the state of --into',
    )
  })

  it('set, delete, export and import keys beside the running machine, which goes on with them', async () => {
    await state('extra', '--pool', 'log', '--set', '{"$bigint":"7"}')
    await state('entries', '--pool', 'log', '--set', '10')
    await state('memo of a', '--pool', 'log', '--delete')
    const exported = (await state('--pool', 'log', '--export')).out
    expect(exported).toBe(
      '{"key":"entries","value":10}\n{"key":"extra","value":{"$bigint":"7"}}\n{"key":"memo of b","value":1}\n{"key":"memo of bad","value":2}\n{"key":"memo of c","value":3}\n',
    )
    await project.result('post', 'log', '--sample', '--memo', 'x')
    await expect.poll(async () => (await state('entries', '--pool', 'log')).out, { timeout: 30_000 }).toBe('12\n') // the entry, and the one that the handler posts
    writeFileSync(join(project.dir, 'keys'), '{"key":"entries","value":3}\n{"key":"bytes","value":{"$bytes":"00ff"}}\n')
    expect((await state('--pool', 'log', '--import', 'keys')).out).toContain('2 keys are set')
    expect((await state('--pool', 'log', '--prefix', 'bytes')).out).toBe('bytes  {"$bytes":"00ff"}\n')
    writeFileSync(join(project.dir, 'keys'), '{"key":"entries","value":9}\nnonsense\n')
    expect((await state('--pool', 'log', '--import', 'keys')).err).toMatch(/line 2 cannot be read.*Nothing was imported/)
    expect((await state('entries', '--pool', 'log')).out).toBe('3\n')
  })

  it('watch the changes as they come', async () => {
    const watching = project.overpool(['state', 'counter', '--pool', 'shop', '--watch'])
    await expect
      .poll(
        async () => {
          await project.result('post', 'shop', '--sample', '--memo', 'seen')
          return watching.out
        },
        { timeout: 30_000 },
      )
      .toMatch(/^shop #\d+ {2}entries {2}\d+\nshop #\d+ {2}memo seen {2}\d+\n/)
    expect(await watching.stop()).toBe(0)
  })

  it('replay a handler under a new name, with its posts counted, and compare; what failed is listed', async () => {
    const before = (await project.result('tail', 'log', '--json')).out
    const replayed = await project.result('replay', 'shop', '--handler', 'counter', '--into', 'again', '--to', '3')
    expect(replayed).toMatchObject({ code: 1 })
    expect(replayed.out).toContain('again ran on 4 entries of shop, from #0 to #3')
    expect(replayed.out).toContain('4 posts were counted, and not made')
    expect(replayed.out).toContain('failed at #2: Error: no bad memos')
    expect((await project.result('state', 'again', 'entries')).out).toBe('3\n')
    project.write('counter.ts', readFixed())
    const rest = await project.result('replay', 'shop', '--handler', 'counter', '--into', 'mended')
    expect(rest).toMatchObject({ code: 0 })
    const { code, out } = await project.result('replay', 'shop', '--handler', 'counter', '--into', 'mended', '--compare')
    expect(code).toBe(1)
    expect(out).toContain('mended has run on all of shop')
    expect(out).toMatch(
      /^entries {2}(\d+) in counter, (\d+) in mended\nmemo bad {2}nothing in counter, 2 in mended\nthe states differ in 2 keys/m,
    )
    expect((await project.result('tail', 'log', '--json')).out).toBe(before)
  })

  it('replay a handler under its own name: nothing is posted twice, and its state stays', async () => {
    const before = [(await project.result('tail', 'log', '--json')).out, (await state('--pool', 'shop', '--export')).out]
    const { out } = await project.result('replay', 'shop', '--handler', 'counter', '--from', '1', '--to', '1')
    expect(out).toContain('counter ran on 1 entry of shop, from #1 to #1')
    expect([(await project.result('tail', 'log', '--json')).out, (await state('--pool', 'shop', '--export')).out]).toEqual(before)
    expect(await machine.stop()).toBe(0)
  })
})

/** The handler without its failure. */
function readFixed(): string {
  return COUNTER.replace(
    "import { defineHandler } from 'overpool-cloud'\n",
    'const defineHandler = <T>(handler: object) => handler\n',
  ).replace(/ {4}if .*'bad'.*\n/, '')
}
