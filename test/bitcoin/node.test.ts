import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { regtestNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

const OP_TRUE = '51'

describe('the Bitcoin node of the tests', () => {
  const node = nodeOr()

  it('is a real one: Bitcoin SV on regtest, with coins to spend', async () => {
    const { subversion } = await node().rpc<{ subversion: string }>('getnetworkinfo')
    expect(subversion).toContain('Bitcoin SV')
    const { txid, vout } = await node().fund(OP_TRUE, 12_345)
    const address = await node().rpc<string>('getnewaddress')
    const toAddress = await node().fund(address, 6_789)
    const [block] = await node().generate(1)
    const { tx } = await node().rpc<{ tx: string[] }>('getblock', block)
    expect(tx).toContain(txid)
    expect(await node().rpc('gettxout', toAddress.txid, toAddress.vout)).toMatchObject({ scriptPubKey: { addresses: [address] } })
    const output = await node().rpc<{ value: number; scriptPubKey: { hex: string } }>('gettxout', txid, vout)
    expect(output).toMatchObject({ value: 0.00012345, scriptPubKey: { hex: OP_TRUE } })
  })

  it('keeps its chain when it is stopped or killed, and started again', async () => {
    const tip = await node().rpc('getbestblockhash')
    await node().stop()
    await expect(node().rpc('getbestblockhash')).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    await node().start()
    expect(await node().rpc('getbestblockhash')).toBe(tip)
    const [newer] = await node().generate(1)
    await node().flush()
    await node().kill()
    await node().start()
    expect(await node().rpc('getbestblockhash')).toBe(newer)
  })

  it('is joined to another one, and both take the chain with more work', async () => {
    const other = await regtestNode({ blocks: 0 })
    try {
      await node().join(other)
      await other.reaches((await node().generate(1))[0]!)
      await node().part(other)
      await node().generate(1)
      const [, tip] = await other.generate(2)
      await node().join(other)
      await node().reaches(tip!)
    } finally {
      await other.remove()
    }
  })

  it('ends when the process of the tests is killed, and its folder is removed', async () => {
    const url = new URL('child.ts', import.meta.url)
    const child = spawn(process.execPath, [fileURLToPath(url)], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await once(child.stdout, 'data')
    const { folder } = JSON.parse(String(line))
    const watched = execFileSync('sh', ['-c', `test -d ${folder} && echo there`], { encoding: 'utf8' })
    expect(watched).toBe('there\n')
    child.kill('SIGKILL')
    await once(child, 'exit')
    await expect.poll(() => existsSync(folder), { timeout: 30_000 }).toBe(false)
  })
})
