import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateSecretCommand, DeleteSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { describe, expect, it } from 'vitest'
import { openStack } from '../../client/stack.ts'
import type { OverpoolConfig } from '../../shared/config/config.ts'
import { signed } from '../bitcoin/machine.ts'
import { nodeOr } from '../bitcoin/node-or-skip.ts'
import { SIDE, until } from '../machine/machine.ts'
import { Deployed } from './deployed.ts'

// A stack that takes part in Bitcoin, beside a real node. Its own, since the address of the node stands in its config.

/** A handler that adds each status to a file: the emulators run it on this computer, and MiniStack may lose a line of its log. */
const handlerOf = (file: string) => `import { appendFileSync } from 'node:fs'
export const onTx = (e, pool) => pool.broadcast(e)
export const onStatus = (e) => appendFileSync(${JSON.stringify(file)}, e.status + ' ' + e.of.txid + '\\n')
`
const PASSWORD = `node-password-${Date.now()}`

describe('a deployed machine', () => {
  const node = nodeOr()

  it('has what its handler broadcasts taken to the network, seen there and, after a block, mined with a proof', async ({ skip }) => {
    if (SIDE === 'deployed') skip('a function on AWS cannot reach a node on this computer')
    const dir = mkdtempSync(join(tmpdir(), 'overpool-bitcoin-stack-'))
    const secrets = new SecretsManagerClient({})
    await secrets.send(new CreateSecretCommand({ Name: PASSWORD, SecretString: node().password }))
    const place = { node: node().url, user: node().user, password: { secret: PASSWORD } }
    const config: OverpoolConfig = {
      handler: './main.ts',
      pools: { shop: {} },
      bitcoin: { network: 'regtest', broadcast: [place], chain: [place] },
      network: { bootstrap: ['127.0.0.1:9'] }, // this address never answers
      aws: { retain: false },
    }
    const file = join(dir, 'overpool.config.ts')
    writeFileSync(file, `export default ${JSON.stringify(config)}\n`)
    const told = join(dir, 'statuses')
    writeFileSync(join(dir, 'main.ts'), handlerOf(told))
    await using deployed = new Deployed(['-c', 'stage=bitcoin', '-c', `config=${file}`])
    try {
      await deployed.deploy()
      const tx = await signed(node())
      const hash = tx.id('hex')
      {
        await using machine = await openStack({ stack: deployed.name })
        const { pools, stores } = machine
        await pools.post({ path: 'shop', payment: { transaction: tx.toHex() } })
        const statuses = async () =>
          (await Array.fromAsync(pools.read({ path: 'shop', kinds: ['status'] }))).flatMap(({ of, status }) =>
            of.txid === hash ? [status] : [],
          )
        await until(statuses, (all) => all.includes('seen'))
        expect(await node().rpc('getrawmempool')).toContain(hash)
        await node().generate(1)
        expect(await until(statuses, (all) => all.includes('mined'))).toEqual(['sent', 'seen', 'mined'])
        expect(await pools.get({ path: 'shop', hash })).toMatchObject({ status: 'mined', proven: true })
        expect(await stores.statuses.open('shop')).toEqual([])
        await until(
          () => (existsSync(told) ? readFileSync(told, 'utf8') : ''),
          (lines) => lines.includes(`mined ${hash}`),
        )
        const log = [...(await deployed.handlerLines(0)).values()].join('\n')
        expect(log).toContain('REPORT RequestId')
        expect(log.includes(node().password)).toBe(false)
      }
      await deployed.destroy()
    } finally {
      await secrets.send(new DeleteSecretCommand({ SecretId: PASSWORD, ForceDeleteWithoutRecovery: true }))
      rmSync(dir, { recursive: true })
    }
  })
})
