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

it('three vendors pass two bills round, as the README shows, and all of them stop together', {
  timeout: 240_000,
}, async () => {
  await using project = new Project()
  const program = project.run(process.execPath, [join(example, 'start.ts')])
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
    expect(await program.stop()).toBe(0)
  }
})
