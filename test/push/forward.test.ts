import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { signer } from '../../functions/handler/webhook.ts'
import { checkConfig, type OverpoolConfig } from '../../shared/config/config.ts'
import { planForwards } from '../../shared/config/handlers.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { type Program, Project, pay } from '../cli/project.ts'
import { paying } from '../invoice/pay.ts'
import { until } from '../machine/machine.ts'
import { Target } from './target.ts'

// Programs that a machine (`overpool start`) forwards entries to. The targets are HTTP servers that check signatures with the library of Standard Webhooks.

const SECRET = `whsec_${randomBytes(32).toString('base64')}`
const OLD_SECRET = `whsec_${randomBytes(24).toString('base64')}`

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

async function target(secret = SECRET): Promise<Target> {
  const made = await new Target(secret).open()
  open.push(made)
  return made
}

interface Machine {
  project: Project
  program: Program
  url: string
  /** the sequence numbers of the dead letters of a handler */
  start: () => Promise<void>
}

/** A machine with this config. */
async function machine(config: OverpoolConfig, secret = SECRET): Promise<Machine> {
  const project = new Project()
  open.push(project)
  project.write(
    'overpool.config.ts',
    `import { defineConfig } from 'overpool-cloud'\nexport default defineConfig(${JSON.stringify(config)})\n`,
  )
  const started: Machine = {
    project,
    program: undefined as never,
    url: '',
    async start() {
      const program = await project.start([], { HOOK_SECRET: secret })
      Object.assign(started, { program, url: `${program.url}/mypool` })
    },
  }
  await started.start()
  return started
}

const hook = ({ url }: Target, more: object = {}) => ({ forward: url, secret: { env: 'HOOK_SECRET' }, ...more })

async function payAll(url: string, texts: string[]): Promise<void> {
  for (const text of texts) expect(await pay(url, sampleTransaction(text), `memo of ${text}`)).toBe(200)
}

const letters = (count: number) => Array.from({ length: count }, (_, i) => String.fromCharCode(97 + i))
const took = (target: Target, count: number, ms?: number) =>
  until(
    () => target.got,
    ({ length }) => length >= count,
    ms,
  )

describe('a forward', () => {
  it('posts each entry once and in order, signed as Standard Webhooks has it', async () => {
    const [one, two] = [await target(), await target(OLD_SECRET)]
    const { url, program } = await machine(
      { pools: { mypool: {}, other: {} }, handlers: { one: hook(one), two: hook(two, { pools: ['other'] }) } },
      `${SECRET} ${OLD_SECRET}`, // while the secret is replaced both sign
    )
    expect(program.out).toMatch(/mypool {2}0 entries, handled by one\n.*other {3}0 entries, handled by one, two/s)
    await payAll(url, letters(5))
    await payAll(url.replace('mypool', 'other'), ['elsewhere'])
    const got = await took(one, 6)
    const [first] = got
    expect(got.filter(({ event }) => event!.data.path === 'mypool').map(({ event }) => event!.data.seq)).toEqual([0, 1, 2, 3, 4])
    expect(first).toMatchObject({
      path: '/hook',
      id: `${first!.event!.data.key}_0`,
      headers: { 'content-type': 'application/json', 'user-agent': 'overpool-cloud' },
      event: {
        type: 'tx',
        data: { path: 'mypool', kind: 'tx', payment: { transaction: sampleTransaction('a'), memo: 'memo of a' }, parsed: {} },
      },
    })
    expect(Date.parse(first!.event!.timestamp)).toBe(first!.event!.data.at)
    expect(Math.abs(first!.timestamp - Date.now() / 1_000)).toBeLessThan(60)
    expect(new Set(got.map(({ id }) => id)).size).toBe(6)
    expect((await took(two, 1)).map(({ event }) => event!.data.path)).toEqual(['other'])
    await wait(300)
    expect([one.got.length, two.got.length]).toEqual([6, 1])
  })

  it('waits for a program that is away, through a kill -9 of the machine, and then goes on in order', async () => {
    const away = await target()
    await away.close()
    const running = await machine({ pools: { mypool: {} }, handlers: { away: hook(away) } })
    await payAll(running.url, letters(3))
    await running.program.says(/handler away failed at mypool #0 .*cannot be reached/s)
    await running.program.stop('SIGKILL')
    await running.start()
    await payAll(running.url, ['d'])
    await wait(3_000)
    await away.open()
    await took(away, 4, 60_000)
    expect(away.seqs).toEqual([0, 1, 2, 3])
  })

  it('gives a late answer a limit, and sends the same message again, with the same id', async () => {
    const late = await target()
    let held = 0
    late.answer = async ({ event }, response) => {
      if (event!.data.seq === 0 && held++ < 2) return // it never answers
      response.writeHead(200).end('ok')
    }
    const { url, program } = await machine({ pools: { mypool: {} }, handlers: { late: hook(late, { timeoutMs: 400 }) } })
    await payAll(url, letters(2))
    await took(late, 4)
    expect(late.seqs).toEqual([0, 0, 0, 1])
    expect(new Set(late.got.slice(0, 3).map(({ id }) => id)).size).toBe(1)
    await program.says(/did not answer within 0.4 s/)
  })

  it('tries again after a 500 and when the program asks it to wait, and not before', async () => {
    const busy = await target()
    const answers = [500, 429, 503, 200]
    busy.answer = (_, response) => {
      const status = answers.shift() ?? 204
      response.writeHead(status, status === 429 ? { 'retry-after': '2' } : {}).end('the database\n\u001b[31mis away')
    }
    const { url, program } = await machine({ pools: { mypool: {} }, handlers: { busy: hook(busy) } })
    await payAll(url, letters(2))
    await took(busy, 5)
    expect(busy.seqs).toEqual([0, 0, 0, 0, 1])
    const [, asked, after] = busy.got
    expect(after!.at - asked!.at).toBeGreaterThanOrEqual(1_950)
    // What it answers is shown, and cannot control a terminal.
    await program.says(/handlers\.busy, at 127\.0\.0\.1:\d+, answers 500: the database\\u000a\\u001b\[31mis away/)
  })

  it.each([
    ['is gone', 410, {}, 'answers 410: it is gone for good'],
    [
      'leads elsewhere, where no message goes',
      307,
      { location: 'http://127.0.0.1:9/' },
      'answers with a redirect (307), which is not followed',
    ],
  ])('stops when the program %s, so that not all entries are given up; a redrive goes on there', async (_, status, headers, said) => {
    const gone = await target()
    let mended = false
    gone.answer = (_, response) => response.writeHead(mended ? 200 : status, headers as Record<string, string>).end()
    const { url, project, program } = await machine({ pools: { mypool: { maxAttempts: 3 } }, handlers: { gone: hook(gone) } })
    await payAll(url, letters(3))
    await program.says(/handler gone stopped at mypool #0/)
    expect(program.err).toContain(said)
    expect(gone.seqs).toEqual([0, 0, 0])
    mended = true
    await project.result('redrive', 'mypool')
    await took(gone, 6)
    expect(gone.seqs).toEqual([0, 0, 0, 0, 1, 2])
  })

  it('gives an entry up that the program will never take, without ten minutes of waiting; a redrive tries it again', async () => {
    const refusing = await target()
    let mended = false
    refusing.answer = ({ event }, response) => response.writeHead(event!.data.seq === 0 && !mended ? 422 : 200).end('no such product')
    const config: OverpoolConfig = { pools: { mypool: { maxAttempts: 3, retryForMs: 600_000 } }, handlers: { strict: hook(refusing) } }
    const { url, project, program } = await machine(config)
    await payAll(url, letters(2))
    await took(refusing, 4)
    expect(refusing.seqs).toEqual([0, 0, 0, 1])
    await program.says(/handler strict gave up mypool #0 .*answers 422: no such product/s)
    mended = true
    await project.result('redrive', 'mypool')
    await took(refusing, 5)
    expect(refusing.seqs.at(-1)).toBe(0)
  })

  it('posts the kinds that it is told to: a payment of an invoice once', async () => {
    const all = await target()
    const { url, project } = await machine({
      pools: { mypool: {} },
      handlers: { all: hook(all, { kinds: ['tx', 'invoice', 'status'] }) },
    })
    const invoice = async () => {
      const { out } = await project.result('invoice', 'mypool', '500', '--json')
      return JSON.parse(out.trim().split('\n').at(-1)!) as { id: string; url: string }
    }
    const [bought, dropped] = [await invoice(), await invoice()]
    const asked = await fetch(bought.url, { headers: { accept: 'application/json' } })
    const { outputs } = (await asked.json()) as { outputs: { amount: number; script: string }[] }
    expect(await pay(bought.url, paying(outputs.map(({ amount, script }) => ({ satoshis: amount, script }))).toString('hex'))).toBe(200)
    expect((await project.result('invoice', 'mypool', '--cancel', dropped.id)).code).toBe(0)
    await payAll(url, ['the last'])
    await took(all, 3)
    expect(all.got.map(({ event }) => [event!.type, (event!.data.invoice as { state: string } | undefined)?.state])).toEqual([
      ['tx', 'paid'],
      ['invoice', 'cancelled'],
      ['tx', undefined],
    ])
  })
})

describe('a config with forwards', () => {
  const secret = { env: 'HOOK_SECRET' }
  const pools = { mypool: { timeoutMs: 5_000 }, other: {} }
  it.each([
    ['no address', { forward: 'billing', secret }, /handlers\.billing\.forward is an http or https address/],
    ['a password in the address', { forward: 'https://me:pass@example.com', secret }, /without a user and a password/],
    ['the secret itself', { forward: 'https://example.com', secret: 'whsec_abc' }, /handlers\.billing\.secret says where the secret is/],
    ['no secret', { forward: 'https://example.com' }, /handlers\.billing\.secret says where the secret is/],
    ['a pool that is not there', { forward: 'https://example.com', secret, pools: ['cofee'] }, /names "cofee"/],
    ['a kind that handlers do not get', { forward: 'https://example.com', secret, kinds: ['commit'] }, /kinds is a list of tx, status/],
    [
      'a limit that the runner ends first',
      { forward: 'https://example.com', secret, timeoutMs: 5_000 },
      /less than `timeoutMs` of its pools, 5000/,
    ],
    ['a setting that is misspelt', { forward: 'https://example.com', secret, pool: ['mypool'] }, /no setting `handlers\.billing\.pool`/],
  ])('is refused with %s', (_, billing, said) => {
    expect(() => checkConfig({ pools, handlers: { billing } })).toThrow(said)
  })

  it('has names of its own, and a limit below that of its pools', () => {
    const config = checkConfig({ pools, handlers: { billing: { forward: 'https://example.com', secret } } })
    expect(planForwards(config, [])).toMatchObject([
      { name: 'billing', pools: ['mypool', 'other'], notPeers: [], forward: { timeoutMs: 4_500 } },
    ])
    expect(() => planForwards(config, [{ name: 'billing', named: './billing.ts' }])).toThrow(
      /handlers\.billing and \.\/billing\.ts have the same name/,
    )
    expect(() => checkConfig({ pools, handlers: { broadcaster: { forward: 'https://example.com', secret } } })).toThrow(/not "broadcaster"/)
  })

  it('is refused when the secret is missing, or has another form, and no error repeats it', async () => {
    await using project = new Project()
    const config = { pools: { mypool: {} }, handlers: { billing: { forward: 'https://example.com', secret } } }
    project.write('overpool.config.ts', `export default ${JSON.stringify(config)}\n`)
    const without = project.overpool(['start'], { env: { HOOK_SECRET: '' } })
    expect([await without.ended(), without.err]).toEqual([
      1,
      expect.stringContaining('handlers.billing.secret: the environment variable HOOK_SECRET is not set'),
    ])
    for (const bad of ['whsec_dG9vIHNob3J0', 'of-another-form', `whsec_${'!'.repeat(40)}`, `${SECRET} x`]) {
      const wrong = () => signer(bad, 'handlers.billing.secret')
      expect(wrong).toThrow(/^handlers\.billing\.secret: a secret of Standard Webhooks is whsec_ and 24 to 64 random bytes/)
      expect(wrong).not.toThrow(bad)
    }
  })
})
