import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { type Program, Project, pay } from './project.ts'

/** A handler whose code runs by the memo of each entry, and which prints when it begins and ends with it. */
const doing = (deeds: Record<string, string>) => `
  import { setTimeout as wait } from 'node:timers/promises'
  const deeds = { ${Object.entries(deeds)
    .map(([memo, code]) => `'${memo}': async (e, pool) => { ${code} }`)
    .join(', ')} }
  export async function onTx(e, pool) {
    console.log('begins', e.path, e.payment.memo)
    await deeds[e.payment.memo]?.(e, pool)
    console.log('ends', e.path, e.payment.memo)
  }`

const memos = (program: Program, word: 'begins' | 'ends') =>
  [...program.out.matchAll(new RegExp(`^${word} (\\w+ \\w+)$`, 'gm'))].map(([, name]) => name)

/** Starts the machine again and again, as its supervisor does, until it prints this; resolves to all that ran. */
async function supervised(project: Project, what: RegExp): Promise<{ starts: number; last: Program; begins: unknown[] }> {
  const begins: unknown[] = []
  for (let starts = 1; ; starts++) {
    const program = project.overpool(['start'])
    const isDone = await program.says(what).then(
      () => true,
      () => false,
    )
    begins.push(...memos(program, 'begins'))
    if (isDone) return { starts, last: program, begins }
    expect(program.isOver, program.err).toBe(true)
  }
}

describe('a handler that blocks the process', () => {
  it.each([
    ['at once', 'for (;;) {}'],
    ['after a wait, and without a turn of the event loop', 'await wait(1); for (;;) await null'],
  ])('%s is named with its entry; the process ends, each time an attempt counts, and the others go on', async (_, code) => {
    await using project = Project.of({ bad: { maxAttempts: 2 }, good: {} }, doing({ blocks: code }))
    const first = await project.start()
    await pay(`${first.url}/good`, sampleTransaction('a'), 'works')
    await first.says(/ends good works/)
    await pay(`${first.url}/bad`, sampleTransaction('b'), 'blocks')
    expect(await first.ended()).toBe('SIGKILL')
    expect(first.err).toMatch(
      /^\S+Z error overpool: handler handler with bad #0 has blocked the process for 10 s, .* its supervisor has to start it again/m,
    )
    const { starts, begins } = await supervised(project, /gave up bad #0 and goes on; .*the process ended while the handler ran/)
    expect([starts, begins]).toEqual([2, ['bad blocks']])
  })
})

it.each([
  ['', [], /^\S+Z error overpool: the filter of mypool has blocked the process for 10 s/m],
  [
    ', also in JSON',
    ['--json'],
    /^\{"time":"[^"]+","level":"error","message":"the filter of mypool has blocked the process for 10 s[^"]+"\}$/m,
  ],
])('a filter that blocks the process is named%s, and the process ends', async (_, flags, line) => {
  await using project = Project.of({}, doing({}))
  project.write(
    'overpool.config.ts',
    "export default { handler: './handler.ts', pools: { mypool: { filter({ memo }) { while (memo === 'block') {} } } } }",
  )
  const machine = project.overpool(['start', ...flags])
  const [url] = await machine.says(/http:\/\/[\d.:]+/)
  const paid = pay(`${url}/mypool`, sampleTransaction('a'), 'block').catch(() => undefined)
  expect(await machine.ended()).toBe('SIGKILL')
  expect(machine.err).toMatch(line)
  expect(await paid).toBeUndefined()
})

it.each([
  ['for people', [], /^\S+Z error overpool: an error that nothing caught ends the process: Error: \\u001b\[2Jforged\n {4}/m],
  [
    'as JSON',
    ['--json'],
    /^\{"time":"[^"]+","level":"error","message":"an error that nothing caught ends the process: Error: \\u001b\[2Jforged/m,
  ],
])('an error of no handler ends the process, and is printed like all else %s', async (_, flags, line) => {
  await using project = Project.of({ mypool: {} }, doing({}))
  const throws = `process.on('SIGUSR2', () => { throw new Error(String.fromCharCode(27) + '[2Jforged') })`
  const machine = project.overpool(['start', ...flags], {
    env: { NODE_OPTIONS: `--import "data:text/javascript,${encodeURIComponent(throws)}"` },
  })
  await machine.says(/http:/)
  machine.child.kill('SIGUSR2')
  expect(await machine.ended()).toBe(1)
  expect(machine.err).toMatch(line)
})

describe('a handler that kills the process', () => {
  it('is called maxAttempts times, and then its entry is a dead letter', async () => {
    await using project = Project.of({ bad: {} }, doing({ kills: "process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})" }))
    const first = await project.start()
    await pay(`${first.url}/bad`, sampleTransaction('a'), 'kills')
    expect(await first.ended()).toBe('SIGKILL')
    const { begins } = await supervised(project, /gave up bad #0/)
    expect(begins).toHaveLength(4) // of five
  })

  it('takes nothing from the entries of other pools that are under way each time', async () => {
    await using project = Project.of(
      { bad: { maxAttempts: 2 }, slow: { maxAttempts: 2 } },
      doing({ kills: 'await wait(100); process.exit(1)', works: 'await wait(300)' }),
    )
    const first = await project.start()
    await Promise.all([
      pay(`${first.url}/slow`, sampleTransaction('a'), 'works'),
      pay(`${first.url}/bad`, sampleTransaction('b'), 'kills'),
    ]).catch(() => {}) // the answer to a wallet may be lost with the process, not its payment
    expect(await first.ended()).toBe(1)
    const { last } = await supervised(project, /gave up bad #0/)
    const pools = async () => (await project.result('pools', '--json')).out
    await last.stop()
    const after = await project.start()
    await pay(`${after.url}/slow`, sampleTransaction('c'), 'last')
    await after.says(/ends slow last/)
    const dead = (await pools())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(dead.map(({ path, handlers }) => [path, handlers[0].dead.length])).toEqual([
      ['bad', 1],
      ['slow', 0],
    ])
  })
})

describe('code that a handler leaves behind', () => {
  it('may fail: that is reported with its handler and its entry, and the machine goes on', async () => {
    await using project = Project.of(
      { mypool: {} },
      doing({
        rejects: "void Promise.reject(new Error('nobody awaits it'))",
        throws: "setTimeout(() => { throw new TypeError('too late') })",
        plain: "Promise.reject('a string')",
      }),
    )
    const machine = await project.start()
    for (const memo of ['rejects', 'throws', 'plain']) await pay(`${machine.url}/mypool`, sampleTransaction(memo), memo)
    await machine.says(
      /code of handler handler that its call with mypool #0 did not wait for has failed; .*Error: nobody awaits it\n +at .*handler\.ts:/,
    )
    await machine.says(/call with mypool #1 did not wait for .*TypeError: too late/)
    await machine.says(/call with mypool #2 did not wait for .*a string/)
    await pay(`${machine.url}/mypool`, sampleTransaction('next'), 'next')
    await machine.says(/ends mypool next/)
    expect(await machine.stop()).toBe(0)
  })

  it('or a filter, which any wallet can call: the same', async () => {
    await using project = Project.of({}, doing({}))
    project.write(
      'overpool.config.ts',
      `export default { handler: './handler.ts', pools: { mypool: { filter({ memo }) {
        if (memo === 'rejects') void Promise.reject(new Error('nobody awaits it'))
        if (memo === 'throws') setTimeout(() => { throw new TypeError('too late') })
      } } } }`,
    )
    const machine = await project.start()
    for (const memo of ['rejects', 'throws']) expect(await pay(`${machine.url}/mypool`, sampleTransaction(memo), memo)).toBe(200)
    await machine.says(/code of the filter of mypool that nothing waited for has failed; .*Error: nobody awaits it/)
    await machine.says(/code of the filter of mypool .*TypeError: too late/)
    expect(await machine.stop()).toBe(0)
  })

  it('and a file that is loaded may leave behind code that fails: the same', async () => {
    await using project = Project.of({ mypool: {} }, `setTimeout(() => { throw new TypeError('too late') }, 200)\n${doing({})}`)
    const machine = await project.start()
    await machine.says(/code of handler\.ts that nothing waited for has failed; .*TypeError: too late/)
    await pay(`${machine.url}/mypool`, sampleTransaction('a'), 'next')
    await machine.says(/ends mypool next/)
    expect(await machine.stop()).toBe(0)
  })

  it('cannot post any more when its call has timed out, and its end changes nothing for the next call', async () => {
    await using project = Project.of(
      { mypool: { timeoutMs: 200 }, out: {} },
      doing({
        slow: `
          const first = !globalThis.second
          globalThis.second = true
          if (first) await new Promise((resolve) => (globalThis.next = resolve))
          else globalThis.next()
          await pool.post({ path: 'out', payment: { transaction: '${sampleTransaction('out')}', memo: first ? 'late' : 'good' } })
          `,
      }),
    )
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'), 'slow')
    await machine.says(/ends out good/)
    await machine.says(/a post inside a handler failed: handler handler posts too late: its call with mypool #0 has failed or timed out/)
    await pay(`${machine.url}/mypool`, sampleTransaction('b'), 'last')
    await machine.says(/ends mypool last/)
    expect(memos(machine, 'begins')).toEqual(['mypool slow', 'mypool slow', 'out good', 'mypool last'])
  })
})

it('a process that stands still, as on a laptop that sleeps, gives its handlers their time when it goes on', async () => {
  await using project = Project.of({ mypool: { timeoutMs: 1_000, maxAttempts: 1 } }, doing({ slow: 'await wait(400)' }))
  const machine = await project.start()
  await pay(`${machine.url}/mypool`, sampleTransaction('a'), 'slow')
  await machine.says(/begins mypool slow/)
  machine.child.kill('SIGSTOP')
  await once(spawn('sleep', ['2']), 'close') // longer than timeoutMs
  machine.child.kill('SIGCONT')
  await machine.says(/ends mypool slow/)
  expect(await machine.stop()).toBe(0)
  expect(machine.err).toBe('')
})
