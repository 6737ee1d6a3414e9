import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Project, REPOSITORY } from '../cli/project.ts'
import { until } from '../machine/machine.ts'

const example = join(REPOSITORY, 'examples/multiplayer')

/** The sorted lines without what differs from run to run: the order of lines of several machines varies. */
function lasting(text: string): string[] {
  return text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/127\.0\.0\.1:\d+/g, 'ADDRESS')
    .replace(/--port \d{4,}/g, '--port PORT')
    .replace(/\b[0-9a-f]{8}…/g, 'HEX')
    .split('\n')
    .filter(Boolean)
    .sort()
}

/** The processes that have this folder in their command line. */
function machinesIn(folder: string): string[] {
  return execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(folder))
}

it('three vendors pass two bills round, as the README shows, and all of them stop together', {
  timeout: 240_000,
}, async () => {
  await using project = new Project()
  const program = project.run('npm', ['run', '--silent', 'example'], { cwd: REPOSITORY })
  const prints = (what: RegExp) =>
    until(
      () => program.out,
      (out) => what.test(out) || program.child.exitCode !== null,
      120_000,
    )
  try {
    const out = await prints(/Ctrl-C stops all of it/)
    const [, shown] = /\$ npm run example\n([\s\S]+?)```/.exec(readFileSync(join(example, 'README.md'), 'utf8'))!
    expect(lasting(out.split('\nFrom another terminal')[0]!)).toEqual(lasting(shown!))
    expect(out.match(/^\w+ +\| (coffee|bread|cake) for table 1/gm)).toHaveLength(6)

    const [curl] = /^ +(curl .+table 2.+)$/m.exec(out)!
    const [status] = /^ +npx overpool (.+)$/m.exec(out)!.slice(1)
    expect(await project.run('sh', ['-c', curl]).ended()).toBe(0)
    await prints(/the bill of table 2 is complete, 1800 sat/)
    expect(program.out.match(/^\w+ +\| .+ for table 2, item \d of 6$/gm)).toEqual(
      ['ana  | coffee', 'ben  | bread', 'cleo | cake', 'ana  | coffee', 'ben  | bread', 'cleo | cake'].map(
        (line, i) => `${line} for table 2, item ${i + 1} of 6`,
      ),
    )
    await until(
      async () => {
        const stands = project.run('sh', ['-c', `${process.execPath} ${join(REPOSITORY, 'package/overpool.cjs')} ${status}`])
        await stands.ended()
        return stands.out
      },
      (said) => /^ben {2}4 entries {2}published, announced \(verified \d+ s ago\), 2 peers$/m.test(said),
      60_000,
    )
    expect(program.err).toBe('')
  } finally {
    // Ctrl-C of a terminal: npm gets it, and so do its children, to whom npm passes it on as well.
    process.kill(-program.child.pid!, 'SIGINT')
    expect(await program.ended()).toBe(0)
  }
  const urls = new Set(program.out.match(/http:\/\/127\.0\.0\.1:\d+/g))
  expect(urls.size).toBe(1)
  for (const url of urls) await expect(fetch(url), 'the machines are stopped').rejects.toThrow()
  const [, folder] = /--dir (\S+)\/ben/.exec(program.out)!
  expect(machinesIn(folder!)).toEqual([])
})
