import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Project, REPOSITORY } from '../cli/project.ts'
import { until } from '../machine/machine.ts'
import { lasting, shownBy } from './shown.ts'

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
    expect(lasting(out.split('\nFrom another terminal')[0]!)).toEqual(lasting(shownBy('multiplayer', 'npm run example')))
    expect(out.match(/^\w+ +\| (coffee|bread|cake) for table 1/gm)).toHaveLength(6)

    const [curl] = /^ +(curl .+table 2.+)$/m.exec(out)!
    const [status] = /^ +npx overpool (.+)$/m.exec(out)!.slice(1)
    expect(await project.run('sh', ['-c', curl]).ended()).toBe(0)
    await prints(/the bill of table 2 is complete, 1800 sat/)
    expect(program.out.match(/^\w+ +\| .+ for table 2, item \d of 6$/gm)).toEqual(
      ['ana', 'ben', 'cleo', 'ana', 'ben', 'cleo'].map(
        (vendor, i) => `${vendor.padEnd(10)} | ${{ ana: 'coffee', ben: 'bread', cleo: 'cake' }[vendor]} for table 2, item ${i + 1} of 6`,
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
