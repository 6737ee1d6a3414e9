import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Project, REPOSITORY } from '../cli/project.ts'

describe('a run of the tests on a computer that cannot get a node', () => {
  it('names each test that it leaves out, and why', { timeout: 120_000 }, async () => {
    await using project = new Project()
    const env = {
      OVERPOOL_RESULTS: undefined,
      BITCOIN_RPC_URL: undefined,
      BSV_HOME: join(project.dir, 'none'),
      PIP_INDEX_URL: 'http://127.0.0.1:9',
      PIP_FIND_LINKS: '',
    }
    const file = 'test/bitcoin/reorganisation.test.ts'
    const run = project.run('npx', ['vitest', 'run', '--project', 'parts', file], { cwd: REPOSITORY, env })
    expect(await run.ended(), run.err).toBe(0)
    const names = [
      'takes back what was mined in six blocks, tells the handlers in order, and finds it mined again',
      'ends a double spend as the chain does: one is mined, the other double-spent',
      'ends a double spend of transactions that were broadcast as bytes, too',
    ]
    const said = run.out.split('\n').filter((line) => line.startsWith('  skipped: '))
    expect(said).toHaveLength(names.length)
    for (const [i, name] of names.entries())
      expect(said[i]).toMatch(new RegExp(`^  skipped: a machine whose chain is reorganised > ${name}: there is no Bitcoin node: .+`))
  })
})
