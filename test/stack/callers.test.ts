import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Overpool } from '../../index.ts'
import { Project } from '../cli/project.ts'
import { payment, until } from '../machine/machine.ts'
import { STACK, StackMachine } from './machine.ts'

// Callers that reach a deployed machine with AWS credentials: the command line, as a process, and the class.

/** The region of the stack. */
const REGION = process.env.AWS_REGION ?? 'us-east-1'
const HEX = /^[0-9a-f]{64}$/

/** Runs the command line with --stack in every command. */
class Shell extends Project {
  override overpool(args: string[], options = {}) {
    return super.overpool(['--stack', STACK, ...args], options)
  }

  /** Runs a command, which must succeed; resolves to its output. */
  async says(...args: string[]): Promise<string> {
    const { code, out, err } = await this.result(...args)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    return out
  }

  /** Repeats a command until it prints this. */
  untilSays(what: RegExp, ...args: string[]): Promise<string> {
    return until(
      () => this.says(...args),
      (out) => what.test(out),
    )
  }
}

/** The lines of one pool in a list of all pools. */
function linesOf(pool: string, list: string): string {
  return new RegExp(`^${pool} .*(\n .*)*`, 'm').exec(list)?.[0] ?? ''
}

describe('overpool --stack', () => {
  it('posts to a pool and shows its entries, also new ones as they come', async () => {
    await using machine = await StackMachine.open({ mypool: {} }, {})
    await using shell = new Shell()
    const name = machine.nameOf('mypool')
    const { transaction } = payment('by the command line')
    const posted = await shell.says('post', name, transaction, '--memo', 'a coffee')
    const [, hash = ''] = /^([0-9a-f]{64}) posted to \S+\n$/.exec(posted)!
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 1,
    )
    expect(await shell.says('tail', name)).toMatch(new RegExp(`^#0 {2}\\S+Z {2}${hash} {2}api {2}"a coffee"\n$`))
    expect(JSON.parse(await shell.says('get', name, hash))).toMatchObject({
      path: name,
      seq: 0,
      payment: { transaction, memo: 'a coffee' },
    })

    const tail = shell.overpool(['tail', name, '-f'])
    await tail.says(/^#0 /m)
    expect((await machine.post('mypool', { ...payment('by the door'), memo: 'another' })).status).toBe(200)
    await tail.says(/^#1 {2}.+ {2}http {2}"another"$/m)
    expect([await tail.stop(), tail.err]).toEqual([0, ''])
  })

  it('lists pools and handlers, verifies a pool against the reported tree hash, and prints a trail', async () => {
    await using machine = await StackMachine.open({ mypool: {} }, {})
    await using shell = new Shell()
    const name = machine.nameOf('mypool')
    await machine.post('mypool', payment('begin', { loop: { pool: 'mypool', left: 2, text: 'step' } }))
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 3,
    )
    const { key } = await machine.call('control', 'mypool')
    await until(
      async () => linesOf(name, (await shell.result('pools')).out),
      (lines) => lines === `${name}  3 entries  ${key}\n  handler main: up to date`,
    )
    const blocks = '\\d blocks?'
    const verified = await shell.untilSays(/catches up|have that tree hash/, 'verify', name)
    expect(verified).toMatch(
      new RegExp(
        `^${name}: 3 entries in ${blocks}, \\d+ bytes\nreceipts {3}3 of 3\nhypercore {2}${blocks}.*\n` +
          `tree hash {2}[0-9a-f]{64}\nin mirror {2}the first ${blocks} have that tree hash\nall of it agrees\n$`,
      ),
    )
    const [, , last] = await machine.call('tail', { path: 'mypool' })
    expect((await shell.says('trail', name, last!.hash)).split('\n').map((line) => /#\d+|^$/.exec(line)?.[0])).toEqual([
      '#2',
      '#1',
      '#0',
      '',
    ])
  })

  it('finds a wrong tree hash, and exits with 1', async () => {
    await using machine = await StackMachine.open({ mypool: {} }, {})
    await using shell = new Shell()
    await machine.post('mypool', payment('one'))
    const { treeHash } = await until(
      () => machine.call('control', 'mypool'),
      ({ coreLength }) => coreLength === 1,
    )
    const changed = `0${treeHash!.slice(1)}` === treeHash ? `1${treeHash.slice(1)}` : `0${treeHash!.slice(1)}`
    await machine.patch('mypool', { coreLength: 1, treeHash: changed })
    const { code, out } = await shell.result('verify', machine.nameOf('mypool'))
    expect(out).toContain(`their tree hash is ${treeHash}, and ${changed} was reported\n1 problem found\n`)
    expect(code).toBe(1)
    await machine.patch('mypool', { coreLength: 1, treeHash })
  })

  it('lets a stopped handler retry its entry, and a halted pool go on', async () => {
    await using machine = await StackMachine.open({ strict: { maxAttempts: 2, onPoison: 'stop' }, mypool: {} }, {})
    await using shell = new Shell()
    const [strict, halted] = [machine.nameOf('strict'), machine.nameOf('mypool')]
    await machine.post('strict', payment('poison', { throw: 2 }))
    await until(
      () => machine.call('cursor', 'strict'),
      ({ stopped }) => stopped !== undefined,
    )
    expect(linesOf(strict, (await shell.result('pools')).out)).toContain(
      '    stopped at #0: Error: the handler failed, as it was asked to (run 2)',
    )
    expect(await shell.says('redrive', strict)).toBe('main tries again #0, where it stopped\n')
    await until(
      () => machine.ended('strict'),
      (seqs) => seqs.length === 1,
    )
    expect(await shell.says('redrive', strict)).toBe(`main: there is nothing to do in ${strict}\n`)

    await machine.post('mypool', payment('before'))
    await until(
      () => machine.call('control', 'mypool'),
      ({ coreLength }) => coreLength === 1,
    )
    await machine.patch('mypool', { halted: 'an operator looks at it' })
    expect(await shell.result('post', halted, '--sample')).toMatchObject({ code: 1, err: expect.stringContaining('takes no posts') })
    expect(await shell.says('resume', halted)).toBe(`${halted} goes on; its hypercore is made again from the mirror\n`)
    await shell.says('post', halted, '--sample')
    await until(
      () => machine.call('control', 'mypool'),
      ({ coreLength, rebuild }) => coreLength === 2 && !rebuild,
    )
    expect(await shell.says('verify', halted)).toMatch(/all of it agrees\n$/)
  })

  it('publishes and subscribes to pools, and shows their status', async () => {
    await using machine = await StackMachine.open({ mypool: {} }, {})
    await using shell = new Shell()
    const name = machine.nameOf('mypool')
    const { key } = await machine.call('control', 'mypool')
    expect(await shell.says('pub', name)).toBe(`${key}\n${name} is published; others follow it with \`overpool sub\` and the key above\n`)
    const watch = shell.overpool(['status', '--watch'])
    await watch.says(new RegExp(`^${name} {2}0 entries {2}published, not announced yet: .+$`, 'm'))
    expect(await shell.says('unpub', name)).toBe(`${name} is offered no more; who has entries of it keeps them\n`)
    await watch.says(new RegExp(`^${name} {2}0 entries {2}not published$`, 'm'))

    const theirs = randomBytes(32).toString('hex')
    expect(await shell.says('sub', theirs)).toBe(`${theirs} is followed; \`overpool status\` shows how far it has come\n`)
    await watch.says(new RegExp(`^${theirs} {2}0 entries {2}followed, .+$`, 'm'))
    expect(await shell.says('unsub', theirs)).toBe(`${theirs} is followed no more; what has come stays\n`)
    await watch.says(new RegExp(`^${theirs} {2}0 entries {2}not followed$`, 'm'))
    expect([await watch.stop(), watch.err]).toEqual([0, ''])
  })

  it('prints the id of the machine and the key of an encrypted pool, which it derives from the seed', async () => {
    await using machine = await StackMachine.open({ mypool: {} }, {})
    await using shell = new Shell()
    await using pool = new Overpool({ stack: STACK })
    const [id] = (await shell.says('id')).split('\n')
    expect(id).toMatch(HEX)
    expect(await pool.id()).toBe(id)
    if (machine.id !== undefined) expect(machine.id).toBe(id) // a sidecar beside the test has logged its id

    const name = machine.nameOf('mypool')
    const [address = ''] = (await shell.says('pub', name, '--encrypt')).split('\n')
    expect(address.split('.')).toEqual([(await machine.call('control', 'mypool')).key, expect.stringMatching(HEX)])
    await shell.says('post', name, '--sample')
    await until(
      () => machine.call('control', 'mypool'),
      ({ coreLength, treeHash, rebuild }) => coreLength === 1 && treeHash !== undefined && !rebuild,
    )
    expect(await shell.says('verify', name)).toContain('in mirror  the first block has that tree hash\nall of it agrees\n')
    await shell.says('unpub', name)
  })

  it.each<[what: string, args: string[], sentence: RegExp]>([
    [
      'a stack that does not exist',
      ['pools', '--stack', 'NoSuchStack'],
      /^overpool: there is no stack "NoSuchStack" in [a-z0-9-]+ under these AWS credentials: if it is in another region, name that with --region/,
    ],
    [
      'a stack that is not a machine',
      ['pools', '--stack', 'CDKToolkit'],
      /^overpool: the stack "CDKToolkit" in [a-z0-9-]+ is no machine of Overpool's, or was not deployed to its end: it has no output Table, /,
    ],
    ['a pool that does not exist', ['tail', 'nopool'], /^overpool: no pool named "nopool"; this machine has: .*kind0-0, /],
  ])('fails for %s with exit code 1 and a sentence', async (_, args, sentence) => {
    await using shell = new Shell()
    expect(await shell.result(...args, '--region', REGION)).toEqual({ code: 1, out: '', err: expect.stringMatching(sentence) })
  })
})

describe('new Overpool({ stack })', () => {
  it('knows the deployed pools, and refuses calls that only the config or a sidecar can do', async () => {
    await using machine = await StackMachine.open({ mypool: {} }, {})
    await using pool = new Overpool({ stack: STACK })
    const path = machine.nameOf('mypool')
    await pool.ready({ path })
    await expect(pool.ready({ path: 'nopool' })).rejects.toMatchObject({ code: 'POOL_NOT_FOUND' })
    await expect(pool.ready({ path, announced: true })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(pool.create({ path: 'other' })).rejects.toMatchObject({ code: 'DEPLOYED' })
    expect((await pool.status()).find((one) => one.path === path)).toMatchObject({ path, entries: 0, published: false })
    await pool.close()
    await expect(pool.status()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('fails at its first call if there is no such stack, and looks again at the next call', async () => {
    const pool = new Overpool({ stack: 'NoSuchStack', region: REGION })
    for (let time = 0; time < 2; time++) await expect(pool.status()).rejects.toMatchObject({ code: 'MACHINE_NOT_FOUND' })
    await pool.close()
  })
})
