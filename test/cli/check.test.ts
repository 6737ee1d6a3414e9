import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openLedgerFile } from '../../local/ports.ts'
import { problemsOf } from '../../shared/machine/health.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { Project, pay } from './project.ts'

const FAILING = `export const onTx = (e) => { if (e.payment.memo === 'bad') throw new Error('no such table: orders') }\n`

async function healthOf(url: string): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${url}/_/health`)
  return { status: answer.status, body: await answer.json() }
}

/** From now on no file may grow beyond this size, as if the disk were full. */
function limitFiles(pid: number, bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])
}

it('a problem of the network counts for pools that are in it: an unpublished pool keeps the one that was last seen', () => {
  const network = { at: 0, announced: false, peers: 0, problem: 'UDP port 49737 is taken' }
  expect(problemsOf({ path: 'mypool', network, desired: { publish: true } }, [])).toEqual([
    'pool mypool is not in the network: UDP port 49737 is taken',
  ])
  expect(problemsOf({ path: 'mypool', network, desired: { publish: false } }, [])).toEqual([])
})

describe('overpool check, pools, status and verify', () => {
  it('exit with 0 while all is well; check says so, and that no machine runs', async () => {
    await using project = Project.of({ mypool: {} }, FAILING)
    const machine = await project.start()
    expect(await healthOf(machine.url)).toEqual({ status: 200, body: { ok: true } })
    expect(await project.result('check')).toEqual({ code: 0, err: '', out: 'all is well\n' })
    for (const args of [['pools'], ['status'], ['verify', 'mypool']])
      expect(await project.result(...args)).toMatchObject({ code: 0, err: '' })
    expect(await machine.stop()).toBe(0)
    expect(await project.result('check')).toEqual({
      code: 1,
      err: '',
      out: `no machine runs in ${join(project.dir, '.overpool')}: start it with \`overpool start\`\n`,
    })
    expect((await project.result('pools')).code).toBe(0)
  })

  it('exit with 1 when a handler gave an entry up, and say so', async () => {
    await using project = Project.of({ mypool: { maxAttempts: 1 } }, FAILING)
    const machine = await project.start()
    await pay(`${machine.url}/mypool`, sampleTransaction('a'), 'bad')
    await machine.says(/gave up mypool #0/)
    const problem = 'handler handler gave up an entry of mypool, the last one #0: Error: no such table: orders'
    expect(await project.result('check')).toEqual({ code: 1, err: '', out: `${problem}\n` })
    const { code, out } = await project.result('check', '--json')
    expect([code, JSON.parse(out)]).toEqual([1, { ok: false, running: true, problems: [problem] }])
    for (const command of ['pools', 'status']) {
      const shown = await project.result(command, '--json')
      expect([shown.code, JSON.parse(shown.out).problems]).toEqual([1, [problem]])
    }
    expect(await healthOf(machine.url)).toMatchObject({ status: 200 }) // payments are taken all the same
    expect((await project.result('redrive', 'mypool', '--drop')).code).toBe(0)
    expect((await project.result('check')).code).toBe(0)
  })

  it('exit with 1 when a handler stopped, and when a pool is halted; the door is healthy while another pool takes payments', async () => {
    await using project = Project.of({ strict: { maxAttempts: 1, onPoison: 'stop' }, other: {} }, FAILING)
    const first = await project.start()
    await pay(`${first.url}/strict`, sampleTransaction('a'), 'bad')
    await first.says(/handler stopped at strict #0/)
    expect((await project.result('pools')).code).toBe(1)
    expect(await first.stop()).toBe(0)
    const halt = async (path: string) => {
      const ledger = openLedgerFile(join(project.dir, '.overpool'))
      await ledger.stores.control.update(path, { halted: 'block 0 is not that of the mirror' })
      ledger.close()
    }
    await halt('other')
    const second = await project.start()
    expect(await project.result('check')).toMatchObject({
      code: 1,
      out: [
        `the door ${second.url} says: pool other takes no payments at this moment`,
        'pool other is halted: block 0 is not that of the mirror',
        'handler handler stopped at strict #0: Error: no such table: orders\n',
      ].join('\n'),
    })
    expect((await project.result('status')).code).toBe(1)
    expect(await healthOf(second.url)).toEqual({
      status: 200,
      body: { ok: true, problems: ['pool other takes no payments at this moment'] },
    })
    expect(await second.stop()).toBe(0)
    await halt('strict')
    const third = await project.start()
    expect(await healthOf(third.url)).toMatchObject({ status: 503, body: { ok: false } })
  })

  it('say that the ledger cannot be written while the disk is full: health is 503 as long as posts are', async () => {
    await using project = Project.of({ mypool: {} }, FAILING)
    const machine = await project.start()
    const post = (text: string) => pay(`${machine.url}/mypool`, sampleTransaction(text))
    expect(await post('a')).toBe(200)
    limitFiles(machine.child.pid!, 4_096)
    expect(await post('b')).toBe(503)
    expect(await healthOf(machine.url)).toEqual({ status: 503, body: { ok: false, problems: ['the ledger cannot be written'] } })
    expect(await project.result('check')).toMatchObject({
      code: 1,
      out: `the door ${machine.url} says: the ledger cannot be written\n`,
    })
    limitFiles(machine.child.pid!, 'unlimited')
    expect(await healthOf(machine.url)).toEqual({ status: 200, body: { ok: true } })
    expect(await post('b')).toBe(200)
    expect((await project.result('check')).code).toBe(0)
    expect(await machine.stop()).toBe(0)
  })
})
