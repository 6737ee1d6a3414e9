import { describe, expect, it } from 'vitest'
import { ChainFilter } from '../../shared/chain/filter.ts'
import { problemsOf } from '../../shared/machine/health.ts'
import { NodeSource } from '../../sidecar/chain/node.ts'
import { Project } from '../cli/project.ts'
import { freshScript } from './machine.ts'
import { nodeOr } from './node-or-skip.ts'
import { type changed, FollowingSidecar, gridOf, sourceOf } from './sidecar.ts'

const WAIT = { timeout: 20_000 }

describe('trouble with the chain', () => {
  const node = nodeOr()
  const tip = () => node().rpc<string>('getbestblockhash')

  it('of a filter that throws stops its own pool, and that pool goes on with nothing left out when it no longer throws', async () => {
    let isBroken = false
    const match = () => {
      if (isBroken) throw new TypeError('no such field')
      return true
    }
    const broken = { ...gridOf(), path: 'broken', wanted: { filter: new ChainFilter({ match }), asked: { match } } }
    const script = freshScript().toHex()
    await using machine = await FollowingSidecar.open({ sources: [sourceOf(node())], grids: [gridOf(script), broken] })
    await expect.poll(async () => [await machine.tip('grid'), await machine.tip('broken')], WAIT).toEqual([await tip(), await tip()])
    isBroken = true
    const { txid } = await node().fund(script, 1_000)
    const [block] = await node().generate(1)
    await expect.poll(() => machine.newest('grid', txid), WAIT).toMatchObject({ status: 'mined', blockHash: block })
    await expect.poll(() => machine.tip(), WAIT).toBe(block)
    expect(machine.complaints[0]).toBe('the `match` of its filter: no such field')
    const problems = async () => problemsOf((await machine.stores.control.read('broken'))!, [])
    await expect
      .poll(problems, WAIT)
      .toEqual([
        expect.stringMatching(/^pool broken has taken nothing from the chain since .+: the `match` of its filter failed: no such field$/),
      ])
    expect(await machine.newest('broken', txid)).toBeUndefined()
    isBroken = false
    await expect.poll(() => machine.tip('broken'), WAIT).toBe(block)
    expect(await machine.newest('broken', txid)).toMatchObject({ status: 'mined', blockHash: block })
    await expect.poll(problems, WAIT).toEqual([])
  })

  it('of a source is written down with its reason, and is gone when it is over', async () => {
    const away = new NodeSource({ url: 'http://127.0.0.1:9', network: 'regtest', pollMs: 20 })
    let source = away as Parameters<typeof changed>[0]
    const moving = new Proxy(away, {
      get: (_, name) => {
        const value = Reflect.get(source, name)
        return typeof value === 'function' ? value.bind(source) : value
      },
    })
    await using machine = await FollowingSidecar.open({ sources: [moving] })
    const problems = async () => problemsOf((await machine.stores.control.read('_chain')) ?? { path: '_chain' }, [])
    await expect
      .poll(problems, WAIT)
      .toEqual([
        expect.stringMatching(/^the chain has not been followed since .+: the node 127\.0\.0\.1:9 is not available: it does not answer/),
      ])
    source = sourceOf(node())
    await expect.poll(() => machine.tip(), WAIT).toBe(await tip())
    await expect.poll(problems, WAIT).toEqual([])
    expect((await machine.stores.control.read('_chain'))?.chain).toMatchObject({
      source: sourceOf(node()).name,
      height: await node().rpc('getblockcount'),
    })
  })

  it('is shown by check and status, with what to do', async () => {
    await using project = Project.of({}, '')
    const write = (rest: string) =>
      project.write(
        'overpool.config.ts',
        `import { defineConfig } from 'overpool-cloud'
         export default defineConfig({ bitcoin: { network: 'regtest', chain: [{ node: '${node().url}', user: '${node().user}', password: { env: 'NODE_PASSWORD' } }] }, pools: { shop: {}, app: { grid: { chain: ${rest} } } } })`,
      )
    write("{ filter: { prefixes: ['one'] } }")
    const wrong = await project.start([], { NODE_PASSWORD: 'wrong' })
    await expect
      .poll(async () => (await project.result('check')).out, WAIT)
      .toMatch(
        /^the chain has not been followed since .+: the node [\d.:]+ does not know the user and password: those of its bitcoin\.conf/m,
      )
    expect(await project.result('status')).toMatchObject({ code: 1, out: expect.stringContaining('  not followed since ') })
    await wrong.stop()
    process.env.NODE_PASSWORD = node().password
    const right = await project.start()
    const height = await node().rpc<number>('getblockcount')
    await expect
      .poll(async () => (await project.result('status')).out, WAIT)
      .toMatch(new RegExp(`^chain  block ${height}, of .+, by node `, 'm'))
    expect(await project.result('check')).toMatchObject({ code: 0, out: 'all is well\n' })
    expect((await project.result('pools')).out).not.toContain('_chain')
    expect(await project.result('rebuild', 'shop', '--from-chain', '--from', String(height + 1))).toMatchObject({
      code: 2,
      err: expect.stringContaining(`ends at block ${height}: --from is at most ${height}`),
    })
    await right.stop()
    write("{ from: 0, filter: { prefixes: ['two'] } }")
    const { err } = await project.start()
    expect(err).toContain(
      'pool app: its `from` was now when it began, and it goes on where it is: to read from 0, give the pool another name',
    )
    expect(err).toContain('pool app: its filter has changed: it applies to the blocks from now on, and what was read before stays as it is')
  })
})
