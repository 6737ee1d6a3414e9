import { describe, expect, it } from 'vitest'
import { Project } from '../cli/project.ts'
import { freshScript, signed } from './machine.ts'
import { nodeOr } from './node-or-skip.ts'

describe('the command line on a machine that takes part in Bitcoin', () => {
  const node = nodeOr()

  it('broadcasts, watches, shows what becomes of transactions, and compares a pool with the chain', { timeout: 120_000 }, async () => {
    await using project = Project.of({}, '')
    const place = `{ node: '${node().url}', user: '${node().user}', password: { env: 'NODE_PASSWORD' } }`
    project.write(
      'overpool.config.ts',
      `import { defineConfig } from 'overpool-cloud'
       export default defineConfig({ bitcoin: { network: 'regtest', chain: [{ ...${place}, zmq: '${node().zmq}' }] }, pools: { shop: {} } })`,
    )
    process.env.NODE_PASSWORD = node().password
    await project.start()
    const tx = await signed(node())
    const txid = tx.id('hex')
    await project.result('post', 'shop', tx.toHex())
    await expect
      .poll(async () => (await project.result('broadcast', 'shop', txid)).out, { timeout: 20_000 })
      .toContain('1 transaction goes to the network; `overpool tail shop --kinds status -f` shows what becomes of it')
    await expect.poll(async () => (await project.result('tail', 'shop')).out, { timeout: 20_000 }).toMatch(new RegExp(`${txid}  api  seen`))

    const script = freshScript().toHex()
    expect((await project.result('watch', 'shop', '--script', script)).out).toContain(
      'shop watches 1 address, script or output on the chain',
    )
    const { txid: watched } = await node().fund(script, 10_000)
    await expect.poll(async () => (await project.result('tail', 'shop')).out, { timeout: 20_000 }).toContain(`${watched}  mempool`)

    await node().generate(1)
    const height = await node().rpc<number>('getblockcount')
    await expect
      .poll(async () => (await project.result('tail', 'shop', '--kinds', 'status')).out, { timeout: 20_000 })
      .toContain(`${txid}  mined in ${height}, says chain`)
    await expect
      .poll(async () => (await project.result('tail', 'shop')).out, { timeout: 20_000 })
      .toContain(`${watched}  mempool  mined in ${height}`)
    const verified = await project.result('rebuild', 'shop', '--from-chain', '--verify')
    expect(verified.out.trim().split('\n')).toEqual([
      `shop: blocks ${height} to ${height} were read`,
      '2 transactions are mined in the block that the pool names',
      '0 transactions of the pool are in none of these blocks',
      'the pool and the chain agree',
    ])
    expect((await project.result('rebuild', 'shop', '--from-chain')).out).toContain(`${txid}  block ${height}`)
  })

  it('invites nobody to post into a pool whose entries come from the chain', async () => {
    await using project = Project.of({}, 'export function onTx() {}')
    const chain = `bitcoin: { network: 'regtest', chain: [{ node: '${node().url}', user: '${node().user}', password: { env: 'NODE_PASSWORD' } }] }`
    const grid = 'grid: { chain: { filter: { prefixes: ["app"] } } }'
    const write = (pools: string) =>
      project.write(
        'overpool.config.ts',
        `import { defineConfig } from 'overpool-cloud'\n\nexport default defineConfig({ handler: './handler.ts', ${chain}, pools: { ${pools} } })`,
      )
    const env = { NODE_PASSWORD: node().password }
    write(`shop: {}, app: { ${grid} }`)
    const both = await project.start([], env)
    expect(both.out).toMatch(/Overpool takes payments at:\n\n {2}http:\/\/[\d.:]+\/shop {2}0 entries, handled by \.\/handler\.ts\n\n/)
    expect(both.out).toContain('It takes entries from the chain into:\n\n  app  ')
    expect(both.out).not.toContain('/app')
    await both.stop()
    write(`app: { ${grid} }`)
    const { out } = await project.start([], env)
    expect(out).toContain('Overpool runs, and takes no payments: nobody posts into its pools over HTTP.')
    expect(out).not.toContain('curl')
  })

  it('say what is missing when there is no Bitcoin in the config', async () => {
    await using project = Project.of({ shop: {} }, 'export function onTx() {}')
    await project.start()
    const posted = await project.result('post', 'shop', '--sample')
    const [txid] = posted.out.split(' ')
    expect(await project.result('broadcast', 'shop', txid!)).toMatchObject({
      code: 1,
      err: expect.stringContaining("set bitcoin: { network: 'main' }"),
    })
    expect(await project.result('rebuild', 'shop', '--from-chain')).toMatchObject({
      code: 1,
      err: expect.stringContaining('set bitcoin.chain'),
    })
  })
})
