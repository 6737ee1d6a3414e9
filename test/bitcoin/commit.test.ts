import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { P2PKH, PrivateKey, Transaction } from '@bsv/sdk'
import { afterAll, describe, expect, it } from 'vitest'
import { Overpool } from '../../index.ts'
import { BitcoinMachine, bitcoinOf, signed } from './machine.ts'
import { nodeOr } from './node-or-skip.ts'

const key = PrivateKey.fromRandom()

describe('a commit', () => {
  const node = nodeOr()
  const opened: Overpool[] = []
  const dirs: string[] = []
  afterAll(async () => {
    for (const pool of opened) await pool.close()
    for (const dir of dirs) rmSync(dir, { recursive: true, force: true })
  })

  function machine(): Overpool {
    const dir = mkdtempSync(join(tmpdir(), 'overpool-commit-'))
    dirs.push(dir)
    process.env.TEST_NODE_PASSWORD = node().password
    const place = { node: node().url, user: node().user, password: { env: 'TEST_NODE_PASSWORD' } }
    const pool = new Overpool({ dir, bitcoin: { network: 'regtest', broadcast: [place] } })
    opened.push(pool)
    return pool
  }

  /** A signed transaction that the network takes. */
  async function signed(satoshis = 1_000): Promise<Transaction> {
    const { hex, vout } = await node().fund(new P2PKH().lock(key.toAddress()).toHex(), 10_000)
    const tx = new Transaction()
    tx.addInput({ sourceTransaction: Transaction.fromHex(hex), sourceOutputIndex: vout, unlockingScriptTemplate: new P2PKH().unlock(key) })
    tx.addOutput({ lockingScript: new P2PKH().lock(key.toAddress()), satoshis })
    await tx.sign()
    return tx
  }

  it('takes a payment to the network, and its status is recorded', async () => {
    const pool = machine()
    await pool.create({ path: 'shop', port: false })
    const statuses: string[] = []
    pool.on('status', (e) => void statuses.push(e.status))
    pool.on('tx', async (e, pools) => {
      await pools.broadcast(e)
    })
    const tx = await signed()
    await pool.post({ path: 'shop', payment: tx })
    await expect.poll(() => statuses, { timeout: 20_000 }).toContain('seen')
    expect(await node().rpc('getrawmempool')).toContain(tx.id('hex'))
    expect(await pool.get({ path: 'shop', hash: tx.id('hex') })).toMatchObject({ status: 'seen' })
    await node().generate(1)
    await expect.poll(() => statuses, { timeout: 30_000 }).toEqual(['sent', 'seen', 'mined'])
  })
})

describe('a commit after a restart', () => {
  const node = nodeOr()

  it.each(['always', 'chosen'])('is made although the pool is created some time after the start (commit: %s)', async (how) => {
    const bitcoin = bitcoinOf(node(), { chain: [] })
    await using machine = await BitcoinMachine.start(bitcoinOf(node(), { chain: [], broadcast: [] }))
    const commit = how === 'always' ? how : () => true
    await machine.machine.create('shop', { commit })
    const tx = await signed(node())
    await machine.pools.post({ path: 'shop', payment: tx })
    await machine.stop()
    await machine.start(bitcoin)
    await expect.poll(() => machine.reports.join(), { timeout: 20_000 }).toContain('is not created yet')
    await machine.machine.create('shop', { commit })
    await expect.poll(() => machine.statuses('shop', tx.id('hex')), { timeout: 20_000 }).toContain('seen')
  })
})
