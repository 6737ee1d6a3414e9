import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { freeUdpPort, type Program, Project, pay, REPOSITORY } from './project.ts'

const SAMPLE = join(REPOSITORY, 'shared/transaction/sample.ts')

/** Prints each entry as `entry <pool> #<seq> <memo>`. */
const PRINTING = `export const onTx = (e) => console.log('entry', e.path, '#' + e.seq, e.payment.memo)\n`

/** Runs a DHT of one node with the command; returns the network settings with which machines find one another there. */
async function runDht(project: Project): Promise<{ program: Program; network: object }> {
  const port = await freeUdpPort()
  const program = project.overpool(['dht', '--port', String(port)])
  await program.says(new RegExp(`a DHT node runs at 127\\.0\\.0\\.1:${port}`))
  return { program, network: { host: '127.0.0.1', bootstrap: [`127.0.0.1:${port}`] } }
}

function configure(project: Project, config: object): void {
  const text = JSON.stringify({ handler: './handler.ts', ...config })
  project.write('overpool.config.ts', `import { defineConfig } from 'overpool-cloud'\n\nexport default defineConfig(${text})\n`)
}

function projectOf(config: object, handler = PRINTING): Project {
  const project = new Project()
  project.write('handler.ts', handler)
  configure(project, config)
  return project
}

/** Runs a command, which must succeed; resolves to its output. */
async function outputOf(project: Project, ...args: string[]): Promise<string> {
  const { code, out, err } = await project.result(...args)
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return out
}

async function json(project: Project, ...args: string[]) {
  const out = await outputOf(project, '--json', ...args)
  return out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}

/** Repeats a command until it prints this. It exits with 1 while something is wrong. */
function untilSays(project: Project, args: string[], what: RegExp): Promise<string> {
  return until(
    async () => (await project.result(...args)).out,
    (out) => what.test(out),
    60_000,
  )
}

describe('the commands of the network', { timeout: 120_000 }, () => {
  it('publish, subscribe to and show pools beside running machines', async () => {
    await using alice = projectOf({})
    await using bob = projectOf({})
    const { program: dht, network } = await runDht(alice)
    configure(alice, { pools: { coffee: {} }, network })
    configure(bob, { pools: {}, network })
    const [alices, bobs] = [await alice.start(), await bob.start()]
    for (const memo of ['a', 'b']) await pay(`${alices.url}/coffee`, sampleTransaction(memo), memo)

    expect(await outputOf(alice, 'status')).toMatch(/^coffee {2}\d entr(y|ies) {2}not published\n$/)
    const published = await outputOf(alice, 'pub', 'coffee')
    expect(published).toMatch(/^[0-9a-f]{64}\ncoffee is published; others follow it with `overpool sub` and the key above\n$/)
    const [key] = published.split('\n') as [string]
    await untilSays(alice, ['status'], /^coffee {2}2 entries {2}published, announced \(verified \d+ s ago\), 0 peers\n$/)

    expect(await outputOf(bob, 'sub', key)).toBe(`${key} is followed; \`overpool status\` shows how far it has come\n`)
    await bobs.says(new RegExp(`entry ${key} #1 b`))
    expect(bobs.out.match(/^entry .+$/gm)).toEqual([`entry ${key} #0 a`, `entry ${key} #1 b`])
    await untilSays(bob, ['status'], new RegExp(`^${key} {2}2 entries {2}followed, 1 peer, up to date\n$`))
    await untilSays(alice, ['status'], /^coffee {2}2 entries {2}published, announced \(verified \d+ s ago\), 1 peer\n$/)
    expect(await json(bob, 'status')).toEqual([
      {
        path: key,
        key,
        entries: 2,
        subscribed: true,
        network: { at: expect.any(Number), announced: false, peers: 1, remoteLength: expect.any(Number) },
        behind: 0,
        running: true,
        handlers: [{ handler: 'handler', done: 2, waiting: 0, dead: [] }],
        problems: [],
      },
    ])

    // The commands for a machine's own pools work with a subscription, too, but for `post`.
    expect(await outputOf(bob, 'pools')).toBe(`${key}  2 entries  followed\n  handler handler: up to date\n`)
    expect(await outputOf(bob, 'tail', key)).toMatch(/^#0 .+ {2}http {2}"a"\n#1 .+ {2}http {2}"b"\n$/)
    const [first] = await json(bob, 'tail', key)
    expect((await json(bob, 'get', key, first.hash))[0]).toEqual({ ...first, path: key, key })
    const proven = await untilSays(bob, ['verify', key], /^signed +the first \d blocks?, by/m)
    expect(proven).toMatch(new RegExp(`^${key}: 2 entries in \\d blocks?, \\d+ bytes\nreceipts +2 of 2\n`))
    expect(proven).toMatch(/all of it agrees\n$/)
    const refused = await bob.result('post', key, '--sample')
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toMatch(/is a peer's pool: only its publisher can post to it/)
    // A machine cannot subscribe to its own pool, nor publish a peer's.
    expect((await alice.result('sub', key)).err).toMatch(/that is this machine's own pool "coffee"/)
    expect((await bob.result('pub', key)).err).toMatch(/its publisher publishes it/)

    expect(await outputOf(bob, 'unsub', key)).toBe(`${key} is followed no more; what has come stays\n`)
    await untilSays(bob, ['status'], new RegExp(`^${key} {2}2 entries {2}not followed\n$`))
    expect(await outputOf(bob, 'pools')).toContain(`${key}  2 entries  not followed\n`)
    expect(await outputOf(alice, 'unpub', 'coffee')).toBe('coffee is offered no more; who has entries of it keeps them\n')
    await untilSays(alice, ['status'], /^coffee {2}2 entries {2}not published\n$/)
    // A new subscription waits for the publisher, and goes on where the old one was.
    await outputOf(bob, 'sub', key)
    await untilSays(bob, ['status'], /followed, nobody who has it is connected\n$/)
    await pay(`${alices.url}/coffee`, sampleTransaction('c'), 'c')
    await outputOf(alice, 'pub', 'coffee')
    await bobs.says(new RegExp(`entry ${key} #2 c`))
    for (const program of [alices, bobs, dht]) expect(await program.stop()).toBe(0)
    expect(alices.err + bobs.err).toBe('')
  })

  it('set without a machine what the machine does from its next start on', async () => {
    await using alice = projectOf({})
    await using bob = projectOf({})
    const id = (await outputOf(alice, 'id')).trim() // the id exists before the first start: others name it in `allow`
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    const { network } = await runDht(alice)
    configure(alice, { pools: { coffee: {} }, network })
    configure(bob, { pools: {}, network })
    expect(await (await alice.start()).stop()).toBe(0)
    expect(await json(alice, 'id')).toEqual([{ id }])
    const bobsId = (await outputOf(bob, 'id')).trim()
    expect(bobsId).not.toBe(id)

    const published = await outputOf(alice, 'pub', 'coffee', '--encrypt', '--allow', bobsId)
    expect(published).toMatch(
      /coffee is published, when the machine is started; others follow it with `overpool sub` and the keys above\n$/,
    )
    const [address] = published.split('\n') as [string]
    const [key, secret] = address.split('.') as [string, string]
    const begun = await outputOf(bob, 'sub', address, '--from', '0', '--peer', id) // no machine has run in this folder
    expect(begun).toContain(`there was no machine in ${bob.dir}/.overpool: now there is one, and \`overpool start\` runs it\n`)
    expect(begun).toContain(`${key} is followed, when the machine is started;`)
    expect(await outputOf(alice, 'status')).toBe(
      `no machine runs in this folder: so it was when the last one stopped\ncoffee  0 entries  published, encrypted\n  only for: ${bobsId}\n`,
    )
    expect(await outputOf(bob, 'status')).toMatch(new RegExp(`\n${key} {2}0 entries {2}followed, encrypted\n$`))

    const [alices, bobs] = [await alice.start(), await bob.start()]
    expect(alices.out).toContain(`  coffee  ${key}  encrypted: \`overpool pub coffee\` prints what opens it\n`)
    expect(bobs.out).toContain(`Followed; \`overpool status\` shows how far they have come:\n\n  ${key}\n`)
    await pay(`${alices.url}/coffee`, sampleTransaction('a'), 'a')
    await bobs.says(new RegExp(`entry ${key} #0 a`))
    expect(await outputOf(bob, 'status')).not.toContain(secret)
    // A second `pub` prints the same key, and replaces `allow`.
    expect((await outputOf(alice, 'pub', 'coffee')).split('\n')[0]).toBe(address)
    expect(await outputOf(alice, 'status')).not.toContain('only for')
    expect(await alices.stop()).toBe(0)
    expect(await bobs.stop()).toBe(0)
    // The pool is unpublished and the subscription ended while no machine runs.
    expect(await outputOf(alice, 'unpub', 'coffee')).toMatch(/is offered no more/)
    expect(await outputOf(bob, 'unsub', key)).toMatch(/is followed no more/)
    expect((await bob.start()).out).not.toContain(key)
  })

  it('show problems: a key that does not open the pool, a taken port, a dead letter, no peer', async () => {
    await using alice = projectOf({})
    await using bob = projectOf({}, `export const onTx = (e) => { throw new Error('no ' + e.payment.memo) }\n`)
    const { network } = await runDht(alice)
    const socket = createSocket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    configure(alice, { pools: { coffee: { publish: true, encrypt: true }, tea: { publish: true } }, network })
    configure(bob, { pools: { cake: { publish: true, maxAttempts: 1 } }, network })
    const [alices, bobs] = [await alice.start(), await bob.start()]
    await pay(`${alices.url}/coffee`, sampleTransaction('a'), 'a')
    await pay(`${bobs.url}/cake`, sampleTransaction('b'), 'b')
    const [coffee] = await json(alice, 'status')
    await outputOf(bob, 'sub', `${coffee.key}.${'1'.repeat(64)}`)
    const troubled = await untilSays(bob, ['status'], /halted/)
    expect(troubled).toMatch(
      new RegExp(
        `^${coffee.key} {2}0 entries {2}followed no further, encrypted\n {2}halted: the encryption key does not open this pool.+\n {2}\`overpool sub\` tries it anew.+$`,
        'm',
      ),
    )
    await untilSays(bob, ['status'], /^cake .+\n {2}handler handler: up to date\n {4}gave up #0 after 1 attempt: Error: no b$/m)
    expect(bobs.err).toMatch(/pool [0-9a-f]{64} is halted: the encryption key does not open this pool/)
    expect(await alices.stop()).toBe(0)

    configure(alice, { pools: { tea: { publish: true } }, network: { ...network, port: socket.address().port } })
    const again = await alice.start()
    await untilSays(
      alice,
      ['status'],
      new RegExp(`^tea .+published, not announced yet: UDP port ${socket.address().port} is taken by another program; it retries`, 'm'),
    )
    expect(again.err).toMatch(/no network: UDP port \d+ is taken by another program/)
    socket.close()
    await untilSays(alice, ['status'], /^tea .+published, announced/m)
    expect(await again.stop()).toBe(0)
  })

  it('show the status again and again with --watch, until they are stopped', async () => {
    await using project = projectOf({ pools: { mypool: {} } })
    const machine = await project.start()
    const watch = project.overpool(['status', '--watch'])
    await watch.says(/mypool {2}0 entries/)
    await pay(`${machine.url}/mypool`, sampleTransaction('a'))
    await watch.says(/mypool {2}1 entry/)
    expect(await watch.stop()).toBe(0)
    const asJson = project.overpool(['--json', 'status', '--watch'])
    await asJson.says(/\n.*\n/)
    expect(await asJson.stop('SIGTERM')).toBe(0)
    for (const line of asJson.out.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ path: 'mypool', entries: 1 })
    expect(asJson.err + watch.err).toBe('')
  })

  it('print the trail of a loop over machines, as far as this machine has its pools', async () => {
    const posting = (to: string, text: string) => `import { sampleTransaction } from '${SAMPLE}'
      export async function onTx(e, pool) {
        if (e.path.length === 64) await pool.post({ path: '${to}', payment: sampleTransaction('${text} ' + e.seq) })
        console.log('entry', e.path, '#' + e.seq)
      }\n`
    await using alice = projectOf({})
    await using bob = projectOf({}, posting('cake', 'cake for coffee'))
    await using carol = projectOf({}, posting('tea', 'tea for cake'))
    const { network } = await runDht(alice)
    configure(alice, { pools: { coffee: { publish: true } }, network })
    const alices = await alice.start()
    const [coffee] = await json(alice, 'status')
    configure(bob, { pools: { cake: { publish: true } }, subscribe: [coffee.key], network })
    const bobs = await bob.start()
    const cake = (await json(bob, 'status')).find(({ path }) => path === 'cake')
    configure(carol, { pools: { tea: {} }, subscribe: [{ key: cake.key }], network })
    const carols = await carol.start()
    await pay(`${alices.url}/coffee`, sampleTransaction('coffee'))
    await carols.says(/entry tea #0/)

    const [tea] = await json(carol, 'tail', 'tea')
    const line = (path: string, source: string) => `${path} #0  [0-9T:.-]+Z  [0-9a-f]{64}  ${source}\n`
    const outside = (key: string) => `  ${key} #0 is in a pool that this machine does not follow\n`
    expect(await outputOf(carol, 'trail', 'tea', tea.hash)).toMatch(
      new RegExp(`^${line('tea', 'handler \\+2')}${line(cake.key, 'handler \\+1')}${outside(coffee.key)}$`),
    )
    const [step] = await json(bob, 'tail', 'cake')
    expect(await outputOf(bob, 'trail', 'cake', step.hash)).toMatch(
      new RegExp(`^${line('cake', 'handler \\+1')}${line(coffee.key, 'http')}$`),
    )
    expect((await json(bob, 'trail', 'cake', step.hash)).map(({ path, hops }) => [path, hops])).toEqual([
      ['cake', 1],
      [coffee.key, 0],
    ])
    const nothing = await bob.result('trail', 'cake', '0'.repeat(64))
    expect(nothing).toMatchObject({ code: 1, err: expect.stringMatching(/no transaction 0+ in "cake"/) })
    for (const program of [alices, bobs, carols]) expect(await program.stop()).toBe(0)
  })

  it('say that a UDP port is taken, and which option chooses another one', async () => {
    await using project = new Project()
    const { program } = await runDht(project)
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(program.out)!
    const second = await project.result('dht', '--port', port!)
    expect(second).toMatchObject({ code: 1, out: '' })
    expect(second.err).toBe(`overpool: UDP port ${port} is taken by another program: choose another one with --port\n`)
    // Another node joins the network through the first one.
    const third = project.overpool(['--json', 'dht', '--port', String(await freeUdpPort()), '--bootstrap', `127.0.0.1:${port}`])
    await third.says(/\n/)
    expect(JSON.parse(third.out)).toEqual({ address: expect.stringMatching(/^127\.0\.0\.1:\d+$/) })
    expect(await third.stop('SIGTERM')).toBe(0)
    expect(await program.stop()).toBe(0)
  })
})

describe('a wrong command', { timeout: 120_000 }, () => {
  let project: Project
  beforeAll(async () => {
    project = projectOf({ pools: { mypool: {} } })
    await (await project.start()).stop()
  })
  afterAll(() => project[Symbol.asyncDispose]())

  it.each<[args: string[], code: number, says: RegExp]>([
    [['sub', 'nonsense'], 2, /subscribe to what `pub` printed: a public key of 64 hex characters/],
    [['sub', `${'1'.repeat(64)}.${'2'.repeat(64)}.`], 2, /subscribe to what `pub` printed/],
    [['sub', '1'.repeat(64), '--from', 'yesterday'], 2, /a whole number is wanted/],
    [
      ['sub', '1'.repeat(64), '--peer', 'bob'],
      2,
      /peer is the public key of a machine, 64 hex characters, as `overpool id` prints it there/,
    ],
    [['sub'], 2, /missing required argument/],
    [['unsub', '1'.repeat(64)], 1, /no pool named "1+"; this machine has: mypool/],
    [['unsub', 'mypool'], 2, /subscribe to what `pub` printed/],
    [['pub', 'nopool'], 1, /no pool named "nopool"; this machine has: mypool/],
    [['pub', 'mypool', '--allow', 'bob'], 2, /`allow` names machines by their public keys/],
    [['unpub', 'nopool'], 1, /no pool named "nopool"/],
    [['trail', 'mypool', 'nonsense'], 2, /hash is a txid of 64 hex characters/],
    [['dht', '--port', '0'], 2, /from 1 to 65535/],
    [['dht', '--host', 'here'], 2, /an IPv4 address is wanted/],
    [['dht', '--host', '192.0.2.1'], 2, /192\.0\.2\.1 is no address of this host/],
    [['dht', '--bootstrap', 'there'], 2, /host:port/],
  ])('overpool %j fails with a sentence that says what is wrong', async (args, code, says) => {
    const [result, asJson] = await Promise.all([project.result(...args), project.result('--json', ...args)])
    expect(result).toMatchObject({ code, out: '', err: expect.stringMatching(says) })
    expect(result.err).not.toMatch(/^ +at /m)
    expect(asJson).toMatchObject({ code, out: '' })
  })
})

describe('a config that is saved while the machine runs', { timeout: 120_000 }, () => {
  it('subscribes and unsubscribes, publishes and unpublishes', async () => {
    await using alice = projectOf({})
    await using bob = projectOf({})
    const { network } = await runDht(alice)
    configure(alice, { pools: { coffee: {} }, network })
    configure(bob, { pools: { cake: {} }, network })
    const [alices, bobs] = [await alice.start(), await bob.start()]
    await pay(`${alices.url}/coffee`, sampleTransaction('a'), 'a')
    const [{ key }] = (await json(alice, 'pools')) as [{ key: string }]

    configure(bob, { pools: { cake: {} }, subscribe: [key], network })
    await bobs.says(/reloaded/)
    await untilSays(bob, ['status'], /followed, nobody who has it is connected/)
    configure(alice, { pools: { coffee: { publish: true } }, network })
    await bobs.says(new RegExp(`entry ${key} #0 a`))

    configure(bob, { pools: { cake: {} }, subscribe: [], network })
    await untilSays(bob, ['status'], new RegExp(`^${key} {2}1 entry {2}not followed$`, 'm'))
    await pay(`${alices.url}/coffee`, sampleTransaction('b'), 'b')
    configure(bob, { pools: { cake: {} }, subscribe: [{ key, handler: './other.ts' }], network })
    await bobs.says(/there is no such file/)
    expect(await outputOf(bob, 'status')).toMatch(/not followed/)
    bob.write('other.ts', PRINTING.replace("'entry'", "'other'"))
    await bobs.says(new RegExp(`other ${key} #1 b`))
    // To a handler of another name every entry is new; the first handler keeps its place.
    expect(bobs.out.match(/^(entry|other) .+$/gm)).toEqual([`entry ${key} #0 a`, `other ${key} #0 a`, `other ${key} #1 b`])

    // The config does not end a subscription that the command line made.
    const other = '3'.repeat(64)
    await outputOf(bob, 'sub', other)
    configure(bob, { pools: { cake: {} }, subscribe: [], network })
    await untilSays(bob, ['status'], new RegExp(`^${key} .+not followed$`, 'm'))
    expect(await outputOf(bob, 'status')).toMatch(new RegExp(`^${other} .+followed, nobody who has it is connected$`, 'm'))

    configure(alice, { pools: { coffee: { publish: false } }, network })
    await untilSays(alice, ['status'], /^coffee {2}2 entries {2}not published$/m)
    configure(alice, { pools: { coffee: { publish: { allow: [other] } } }, network: { ...network, port: await freeUdpPort() } })
    await alices.says(/the settings of `network` and `bitcoin` are taken at the next start/)
    await untilSays(alice, ['status'], new RegExp(`published.+\n {2}only for: ${other}$`, 'm'))
    expect(await alices.stop()).toBe(0)
    expect(await bobs.stop()).toBe(0)
  })

  it('leaves its halted subscription halted until it names another key', async () => {
    await using alice = projectOf({})
    await using bob = projectOf({})
    const { network } = await runDht(alice)
    configure(alice, { pools: { coffee: { publish: true, encrypt: true } }, network })
    const alices = await alice.start()
    await pay(`${alices.url}/coffee`, sampleTransaction('a'), 'a')
    const [address] = (await outputOf(alice, 'pub', 'coffee')).split('\n') as [string]
    const [key] = address.split('.') as [string]
    configure(bob, { pools: {}, subscribe: [key], network })
    const first = await bob.start()
    await untilSays(bob, ['status'], /halted/)
    expect(await first.stop()).toBe(0)
    const second = await bob.start()
    expect(await bob.result('status')).toMatchObject({ code: 1, out: expect.stringMatching(/halted/) })
    configure(bob, { pools: {}, subscribe: [address], network })
    await second.says(new RegExp(`entry ${key} #0 a`))
    expect(await outputOf(bob, 'status')).not.toMatch(/halted/)
    expect(second.err).not.toMatch(/halted/) // the machine did not try it in between
    expect(await second.stop()).toBe(0)
    expect(await alices.stop()).toBe(0)
  })
})
