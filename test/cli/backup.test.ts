import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { config, Project, pay } from './project.ts'

const SILENT = 'export const onTx = () => {}\n'
const SENDERS = 8

/** Wallets that pay one after the other, as fast as they can, until they are stopped. */
class Load {
  /** transactions that were acknowledged, in this order */
  readonly acknowledged: string[] = []
  readonly #senders: Promise<void>[]
  #isOver = false

  constructor(url: string) {
    this.#senders = Array.from({ length: SENDERS }, (_, i) => this.#send(url, i))
  }

  async #send(url: string, sender: number): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const transaction = sampleTransaction(`payment ${n} of ${sender}`)
      if ((await pay(url, transaction).catch(() => 0)) === 200) this.acknowledged.push(transaction)
    }
  }

  /** Resolves when so many more payments have been acknowledged. */
  async more(count: number): Promise<void> {
    const enough = this.acknowledged.length + count
    await until(
      () => this.acknowledged.length,
      (length) => length >= enough,
    )
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#senders)
  }
}

/** The transactions of a pool, in order. */
async function entriesOf(project: Project, dir: string, pool = 'mypool'): Promise<string[]> {
  const { out } = await project.result('--dir', dir, '--json', 'tail', pool, '-n', '999999')
  return Array.from(out.split('\n').filter(Boolean), (line) => JSON.parse(line).payment.transaction)
}

/** Makes copy.sqlite, then a pool `younger` with two entries. @returns these */
async function withYoungerPool(project: Project): Promise<string[]> {
  const first = await project.start()
  await pay(`${first.url}/mypool`, sampleTransaction('older'))
  expect(await first.stop()).toBe(0)
  expect((await project.result('backup', 'copy.sqlite')).code).toBe(0)
  project.write('overpool.config.ts', config({ mypool: {}, younger: {} }))
  const second = await project.start()
  const posted = ['a', 'b'].map((text) => sampleTransaction(text))
  for (const transaction of posted) expect(await pay(`${second.url}/younger`, transaction)).toBe(200)
  expect(await second.stop()).toBe(0)
  return posted
}

describe('overpool backup and restore', () => {
  it('copy a machine under load; the copy is restored elsewhere with all that was acknowledged before, and goes on', async () => {
    await using project = Project.of({ mypool: {} }, SILENT)
    const machine = await project.start()
    const load = new Load(`${machine.url}/mypool`)
    await load.more(200)
    const before = [...load.acknowledged]
    const made = await project.result('backup', 'copy.sqlite')
    expect(made).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/^copy\.sqlite {2}\d+ bytes, with the seed: keep it secret\n$/),
    })
    expect(statSync(join(project.dir, 'copy.sqlite')).mode & 0o777).toBe(0o600)
    expect(readdirSync(project.dir).filter((name) => name.startsWith('copy'))).toEqual(['copy.sqlite'])
    await load.more(50) // the machine has gone on meanwhile
    await load.stop()
    expect(await project.result('backup', 'copy.sqlite')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/copy\.sqlite exists already/),
    })
    expect(await project.result('restore', 'copy.sqlite')).toMatchObject({ code: 1, err: expect.stringMatching(/another machine runs in/) })
    expect(await machine.stop()).toBe(0)

    expect(await project.result('--dir', 'other', 'restore', 'copy.sqlite')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^restored 1 pool with \d+ entries; `overpool start` goes on with them\n$/),
    })
    const other = await project.start(['--dir', 'other'])
    expect(await pay(`${other.url}/mypool`, sampleTransaction('after the restore'))).toBe(200)
    await until(
      () => entriesOf(project, 'other'),
      (entries) => entries.includes(sampleTransaction('after the restore')) && before.every((each) => entries.includes(each)),
    )
    expect(await other.stop()).toBe(0)
    const restored = await entriesOf(project, 'other')
    expect(new Set(restored).size).toBe(restored.length)
    expect(await project.result('--dir', 'other', 'verify', 'mypool')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/all of it agrees\n$/),
    })
  })

  it.each([
    ['stopped', 'SIGINT'],
    ['killed', 'SIGKILL'],
  ] as const)(
    'put an older copy beside the newer hypercores of a machine that was %s under load, and nothing acknowledged is lost',
    async (_, signal) => {
      await using project = Project.of({ mypool: {} }, SILENT)
      const machine = await project.start()
      const load = new Load(`${machine.url}/mypool`)
      await load.more(100)
      expect((await project.result('backup', 'copy.sqlite', '--no-seed')).out).toMatch(/without the seed\n$/)
      await load.more(200)
      const ended = machine.stop(signal)
      await load.stop()
      await ended
      const newest = await entriesOf(project, '.overpool')

      const { code, out } = await project.result('restore', 'copy.sqlite')
      expect([code, out]).toEqual([
        0,
        expect.stringMatching(/^restored 1 pool with \d+ entries, \d+ of them newer than the backup, from the hypercores;/),
      ])
      const [, aside] = /the ledger that was here before is (\S+)/.exec(out)!
      expect(existsSync(aside!)).toBe(true)
      const again = await project.start()
      expect(await pay(`${again.url}/mypool`, sampleTransaction('after the restore'))).toBe(200)
      expect(await project.result('check')).toMatchObject({ code: 0, out: 'all is well\n' })
      expect(await again.stop()).toBe(0)
      const restored = await entriesOf(project, '.overpool')
      // A kill may have cut off the newest blocks of a hypercore before they were written there.
      const kept = signal === 'SIGINT' ? newest.length : restored.length - 1
      expect(restored).toEqual([...newest.slice(0, kept), sampleTransaction('after the restore')])
      expect((await project.result('verify', 'mypool')).out).toMatch(/all of it agrees\n$/)
    },
  )

  it('bring back a pool that is younger than the backup, from the ledger that was there and its hypercore', async () => {
    await using project = Project.of({ mypool: {} }, SILENT)
    const posted = await withYoungerPool(project)
    const { code, out } = await project.result('restore', 'copy.sqlite')
    expect([code, out]).toEqual([0, expect.stringMatching(/^restored 2 pools with 3 entries, 2 of them newer than the backup, from the/)])
    expect(out).toContain('younger is younger than the backup')
    const again = await project.start()
    expect(await pay(`${again.url}/younger`, sampleTransaction('after the restore'))).toBe(200)
    expect(await project.result('check')).toMatchObject({ code: 0, out: 'all is well\n' })
    expect(await again.stop()).toBe(0)
    expect(await entriesOf(project, '.overpool', 'younger')).toEqual([...posted, sampleTransaction('after the restore')])
  })

  it('name the hypercore of a pool that is younger than the backup, and how it comes back, if its ledger is lost', async () => {
    await using project = Project.of({ mypool: {} }, SILENT)
    const posted = await withYoungerPool(project)
    const ledger = join(project.dir, '.overpool/ledger.sqlite')
    for (const suffix of ['', '-wal', '-shm']) rmSync(ledger + suffix, { force: true })
    const { code, out } = await project.result('restore', 'copy.sqlite')
    expect([code, out]).toEqual([0, expect.stringMatching(/^restored 1 pool with 1 entry;/)])
    expect(out).toMatch(/the hypercore [0-9a-f]{64} belongs to no pool of the backup/)
    // as the sentence says
    const halted = await project.start()
    await halted.says(/younger is halted/)
    expect(await halted.stop()).toBe(0)
    expect(out).toContain(`\`overpool restore ${ledger}\``)
    expect((await project.result('restore', ledger)).out).toMatch(/^restored 2 pools with 3 entries, 2 of them newer than the backup/)
    expect(await entriesOf(project, '.overpool', 'younger')).toEqual(posted)
  })

  it('complete an older copy that was put in place by hand and halted its pool: restore takes the ledger itself', async () => {
    await using project = Project.of({ mypool: {} }, SILENT)
    const ledger = join(project.dir, '.overpool/ledger.sqlite')
    const first = await project.start()
    await pay(`${first.url}/mypool`, sampleTransaction('a'))
    expect(await first.stop()).toBe(0)
    cpSync(ledger, join(project.dir, 'copy'))
    const second = await project.start()
    await pay(`${second.url}/mypool`, sampleTransaction('b'))
    expect(await second.stop()).toBe(0)
    cpSync(join(project.dir, 'copy'), ledger)

    const halted = await project.start()
    await halted.says(/mypool is halted: .+ if the ledger is an older copy, stop the machine and run `overpool restore` with its file/)
    expect(await pay(`${halted.url}/mypool`, sampleTransaction('c'))).toBe(503)
    expect(await halted.stop()).toBe(0)
    expect((await project.result('restore', ledger)).out).toMatch(/^restored 1 pool with 2 entries, 1 of them newer than the backup/)
    const last = await project.start()
    expect(await pay(`${last.url}/mypool`, sampleTransaction('c'))).toBe(200)
    expect(await last.stop()).toBe(0)
    expect(await entriesOf(project, '.overpool')).toEqual(['a', 'b', 'c'].map(sampleTransaction))
  })

  it('say what cannot be restored: no backup, a damaged one, a missing or wrong seed', async () => {
    await using project = Project.of({ mypool: {} }, SILENT)
    const machine = await project.start()
    for (let i = 0; i < 50; i++) await pay(`${machine.url}/mypool`, sampleTransaction(`${i}`))
    await project.result('backup', 'whole.sqlite')
    await project.result('backup', 'seedless.sqlite', '--no-seed')
    expect(await machine.stop()).toBe(0)
    project.write('text.sqlite', 'this is no database, but it is long enough to be taken for one'.repeat(20))
    const bytes = readFileSync(join(project.dir, 'whole.sqlite'))
    writeFileSync(join(project.dir, 'damaged.sqlite'), bytes.fill(7, 8_192, 16_384))
    const refused = async (file: string, dir = 'other') => {
      const { code, err, out } = await project.result('--dir', dir, 'restore', file)
      expect([code === 0, out]).toEqual([false, ''])
      return err
    }
    expect(await refused('none.sqlite')).toMatch(/there is no file \S+none\.sqlite/)
    expect(await refused('text.sqlite')).toMatch(/text\.sqlite is no backup of a machine, or is damaged: file is not a database/)
    expect(await refused('damaged.sqlite')).toMatch(/damaged\.sqlite is no backup of a machine, or is damaged/)
    expect(await refused('seedless.sqlite')).toMatch(
      /seedless\.sqlite holds no seed, and there is none in \S+other: put the machine's seed into/,
    )
    mkdirSync(join(project.dir, 'third'))
    writeFileSync(join(project.dir, 'third/seed'), `${'00'.repeat(32)}\n`)
    expect(await refused('seedless.sqlite', 'third')).toMatch(/is not the one that "mypool" of the backup was made with/)
    expect(await refused('whole.sqlite', 'third')).toMatch(/seed is the seed of another machine: restore into another folder/)
    for (const dir of ['other', 'third']) expect(existsSync(join(project.dir, dir, 'ledger.sqlite'))).toBe(false)

    cpSync(join(project.dir, '.overpool/seed'), join(project.dir, 'other/seed'))
    expect(await project.result('--dir', 'other', 'restore', 'seedless.sqlite')).toMatchObject({ code: 0 })
    expect(await entriesOf(project, 'other')).toHaveLength(50)
  })

  it('leave the ledger that was there whole in one file, also when its machine was killed', async () => {
    await using project = Project.of({ mypool: {} }, SILENT)
    const machine = await project.start()
    await project.result('backup', 'copy.sqlite')
    for (let i = 0; i < 5; i++) await pay(`${machine.url}/mypool`, sampleTransaction(`${i}`))
    await machine.stop('SIGKILL')
    expect(statSync(join(project.dir, '.overpool/ledger.sqlite-wal')).size, 'they are in the log alone').toBeGreaterThan(0)
    const { out } = await project.result('restore', 'copy.sqlite')
    const [, aside] = /the ledger that was here before is (\S+)/.exec(out)!
    const db = new DatabaseSync(aside!, { readOnly: true })
    expect(db.prepare('SELECT sum(count) AS entries FROM blocks').get()).toEqual({ entries: 5 })
    db.close()
    expect(statSync(`${aside}-wal`, { throwIfNoEntry: false })?.size ?? 0).toBe(0)
  })

  it('restore a plain copy of a ledger and its log beside the seed, as older versions made it', async () => {
    await using project = Project.of({ mypool: {} }, SILENT)
    const machine = await project.start()
    for (let i = 0; i < 5; i++) await pay(`${machine.url}/mypool`, sampleTransaction(`${i}`))
    await machine.stop('SIGKILL')
    renameSync(join(project.dir, '.overpool'), join(project.dir, 'old'))
    mkdirSync(join(project.dir, '.overpool'))
    cpSync(join(project.dir, 'old/seed'), join(project.dir, '.overpool/seed'))
    rmSync(join(project.dir, 'old/cores'), { recursive: true })
    expect((await project.result('restore', 'old/ledger.sqlite')).out).toMatch(/^restored 1 pool with 5 entries;/)
    expect(await (await project.start()).stop()).toBe(0)
  })
})
