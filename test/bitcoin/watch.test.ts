import { P2PKH, PrivateKey, Transaction } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { BitcoinMachine, bitcoinOf, coin, freshScript, key, signed } from './machine.ts'
import type { UsersNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

const WAIT = { timeout: 20_000 }

/** A wallet that knows of no pool: it pays to an address, and hands its transaction to the network itself. */
async function pays(node: UsersNode, address: string, satoshis = 700): Promise<Transaction> {
  const { transaction: sourceTransaction, vout: sourceOutputIndex } = await coin(node)
  const tx = new Transaction()
  tx.addInput({ sourceTransaction, sourceOutputIndex, unlockingScriptTemplate: new P2PKH().unlock(key) })
  tx.addOutput({ lockingScript: new P2PKH().lock(address), satoshis })
  await tx.sign()
  const answer = await tx.broadcast({
    async broadcast(sent) {
      return { status: 'success', txid: await node.rpc<string>('sendrawtransaction', sent.toHex()), message: '' }
    },
  })
  expect(answer.status).toBe('success')
  return tx
}

describe('a pool that watches the chain', () => {
  const node = nodeOr()

  it('learns of a payment that a wallet only broadcast, by its config and by what it is told while it runs', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node(), { broadcast: [] }))
    const [first, second] = [PrivateKey.fromRandom().toAddress(), PrivateKey.fromRandom().toAddress()]
    await machine.machine.create('shop', { watch: { addresses: [first] } })
    await begun(machine)
    const one = (await pays(node(), first)).id('hex')
    const early = (await pays(node(), second)).id('hex')
    await expect.poll(() => entries(machine, 'shop'), WAIT).toEqual([`${one} mempool seen`])
    await machine.machine.control.watch('shop', { addresses: [second] })
    const two = (await pays(node(), second)).id('hex')
    await expect.poll(() => entries(machine, 'shop'), WAIT).toContainEqual(`${two} mempool seen`)
    await node().generate(1)
    // What was in the mempool before it was watched is found at the latest in its block.
    await expect
      .poll(async () => (await entries(machine, 'shop')).map((line) => line.replace(/ (chain|mempool)/, '')).sort(), WAIT)
      .toEqual([one, early, two].map((txid) => `${txid} mined`).sort())
    for (const txid of [one, two]) expect(await machine.statuses('shop', txid)).toEqual(['mined'])
  })

  it('watches still after a restart, and finds what was mined meanwhile', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node(), { broadcast: [] }))
    const address = PrivateKey.fromRandom().toAddress()
    await machine.machine.create('shop')
    await machine.machine.control.watch('shop', { addresses: [address] })
    await begun(machine)
    await machine.stop()
    const txid = (await pays(node(), address)).id('hex')
    await node().generate(3)
    await machine.start(bitcoinOf(node(), { broadcast: [] }))
    await machine.machine.create('shop')
    await expect.poll(() => entries(machine, 'shop'), WAIT).toEqual([`${txid} chain mined`])
  })

  it('gives a transaction that was posted the status of the chain, whoever broadcast it, before or after the post', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node(), { broadcast: [] }))
    await machine.machine.create('shop')
    await begun(machine)
    const posted = await signed(node())
    await machine.pools.post({ path: 'shop', payment: posted })
    await node().rpc('sendrawtransaction', posted.toHex())
    await expect.poll(() => machine.statuses('shop', posted.id('hex')), WAIT).toEqual(['seen'])
    const late = await signed(node())
    await node().rpc('sendrawtransaction', late.toHex())
    await node().generate(1)
    await expect.poll(() => machine.statuses('shop', posted.id('hex')), WAIT).toEqual(['seen', 'mined'])
    await machine.pools.post({ path: 'shop', payment: late })
    await expect.poll(() => machine.statuses('shop', late.id('hex')), WAIT).toEqual(['mined'])
    expect(await entries(machine, 'shop')).toEqual([`${posted.id('hex')} api mined`, `${late.id('hex')} api mined`])
  })

  it('finds the block of a transaction that was posted just before the machine ended', async () => {
    const bitcoin = bitcoinOf(node(), { broadcast: [] })
    await using machine = await BitcoinMachine.start(bitcoin)
    await machine.machine.create('shop')
    await begun(machine)
    const late = await signed(node())
    await node().rpc('sendrawtransaction', late.toHex())
    await node().generate(1)
    await follows(machine, node())
    await node().generate(2)
    await follows(machine, node())
    await machine.pools.post({ path: 'shop', payment: late })
    await machine.stop()
    await machine.start(bitcoin)
    await machine.machine.create('shop')
    await expect.poll(() => entries(machine, 'shop'), WAIT).toEqual([`${late.id('hex')} api mined`])
  })

  it('has one entry of a transaction that was found and posted, if it takes each transaction once', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node(), { broadcast: [] }))
    const script = freshScript()
    await machine.machine.create('shop', { unique: 'transaction', watch: { scripts: [script.toHex()] } })
    await begun(machine)
    const paying = async () => {
      const { transaction: sourceTransaction, vout: sourceOutputIndex } = await coin(node())
      const tx = new Transaction()
      tx.addInput({ sourceTransaction, sourceOutputIndex, unlockingScriptTemplate: new P2PKH().unlock(key) })
      tx.addOutput({ lockingScript: script, satoshis: 500 })
      await tx.sign()
      return tx
    }
    const found = await paying()
    await node().rpc('sendrawtransaction', found.toHex())
    await expect.poll(() => entries(machine, 'shop'), WAIT).toEqual([`${found.id('hex')} mempool seen`])
    await machine.pools.post({ path: 'shop', payment: found })
    const posted = await paying()
    await machine.pools.post({ path: 'shop', payment: posted })
    await node().rpc('sendrawtransaction', posted.toHex())
    const both = await paying() // at the same moment
    await Promise.all([machine.pools.post({ path: 'shop', payment: both }), node().rpc('sendrawtransaction', both.toHex())])
    await node().generate(1)
    await expect
      .poll(async () => (await entries(machine, 'shop')).map((line) => line.replace(/ (chain|mempool|api)/, '')), WAIT)
      .toEqual([found, posted, both].map((tx) => `${tx.id('hex')} mined`))
  })
})

/** Resolves when the machine follows the chain: what comes from now on is not missed. */
async function begun(machine: BitcoinMachine): Promise<void> {
  await expect.poll(() => machine.pools.length('_chain').catch(() => 0), WAIT).toBeGreaterThan(0)
}

/** Resolves when the machine has read the node's newest block. */
async function follows(machine: BitcoinMachine, node: UsersNode): Promise<void> {
  const tip = await node.rpc<string>('getbestblockhash')
  await expect.poll(async () => (await machine.pools.tail({ path: '_chain', kinds: ['block'], size: 1 }))[0]?.hash, WAIT).toBe(tip)
}

async function entries(machine: BitcoinMachine, path: string): Promise<string[]> {
  return (await machine.pools.tail({ path, size: 100 })).map(({ hash, source, status }) => `${hash} ${source} ${status}`)
}
