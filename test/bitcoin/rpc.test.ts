import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { NodeError, NodeRpc } from '../../shared/chain/rpc.ts'
import { nodeOr } from './node-or-skip.ts'

describe('calls of a node', () => {
  const node = nodeOr({ any: true })

  it('fail with the node’s own code and sentence when it refuses', async () => {
    const refused = await node()
      .rpc('getblockhash', 10_000_000)
      .catch((error) => error)
    expect(refused).toBeInstanceOf(NodeError)
    expect(refused).toMatchObject({ code: -8, message: 'Block height out of range' })
    await expect(node().rpc('nosuchmethod')).rejects.toMatchObject({ code: -32601, message: 'Method not found' })
  })

  it('take user and password out of the URL, and never show them', async () => {
    const url = new URL(node().url)
    url.username = node().user
    url.password = node().password
    const rpc = new NodeRpc({ url: url.href })
    expect(await rpc.call('getblockcount')).toBeGreaterThan(0)
    expect(rpc.name).toBe(`node ${url.host}`)
    expect(JSON.stringify(rpc)).not.toContain(node().password)
    const nowhere = await new NodeRpc({ url: 'http://user:hidden@127.0.0.1:1' }).call('getblockcount').catch((error) => error)
    expect(nowhere).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    expect(inspect(nowhere)).not.toContain('hidden')
  })

  it('give an answer as it comes, and end when nobody reads on', async () => {
    const rpc = new NodeRpc(node())
    for await (const chunk of rpc.open('getblockchaininfo')) {
      expect(Buffer.from(chunk).toString()).toContain('"result"')
      break
    }
    await expect(rpc.open('getblock', '00'.repeat(32), 0).next()).rejects.toMatchObject({ code: -5 })
    rpc.close()
    await expect(rpc.call('getblockcount')).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

it.each(['127.0.0.1:8332', 'ftp://user:hidden@host', 'http://user%zz:hidden@host', 'hidden'])(
  'an address that is none is not repeated: %s',
  (url) => {
    let thrown: unknown
    try {
      new NodeRpc({ url })
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code: 'BAD_CONFIG', message: expect.not.stringContaining('hidden') })
  },
)
