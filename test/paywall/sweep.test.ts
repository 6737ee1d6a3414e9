import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { PrivateKey, Spend, Transaction } from '@bsv/sdk'
import { expect, it } from 'vitest'
import { createPaywall, payingFetch } from '../../index.ts'
import { payment } from '../machine/machine.ts'
import { openMachine } from './machine.ts'
import { headers121, TestWallet } from './wallet.ts'

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
const overpool = async (...args: string[]) => (await promisify(execFile)(process.execPath, [MAIN, ...args])).stdout

it('overpool keys sweep shows what was paid, and makes the transaction that spends all of it', async () => {
  const { pool, url, dir, entries } = await openMachine({ port: 0, price: 700, bitcoin: { network: 'main', broadcast: [async () => {}] } })
  const wallet = new TestWallet()
  await payingFetch(url, { wallet, budget: { perCall: 700 } })
  const { publicKey } = await (await pool.payee({ path: 'mypool' })).getPublicKey({ identityKey: true })
  await fetch(url, { headers: await headers121(wallet, publicKey, 650) }) // too little; and yet it is ours
  const route = createPaywall({ pool, path: 'mypool', price: 900, network: 'main' })(() => new Response())
  const get = (...[to, init]: Parameters<typeof fetch>) => route(new Request(to as string, init))
  await payingFetch('https://shop.example/', { wallet, budget: { perCall: 900 }, fetch: get as typeof fetch })
  expect(await entries()).toHaveLength(3)

  // What strangers wrote stops nobody: a derivation that no wallet makes, and dust that costs more than it brings.
  const forged = { paid: 'paymail', satoshis: 1, vout: 0, suffix: 'x' }
  for (const [sender, prefix] of [
    [publicKey, 'x'.repeat(900)],
    ['02'.padEnd(66, 'f'), 'x'],
    ['text', 'x'],
  ])
    await pool.post({ path: 'mypool', payment: { ...payment('forged'), merchantData: { ...forged, sender, prefix } } })
  await fetch(url, { headers: await headers121(wallet, publicKey, 1) })

  const shown = await overpool('--dir', dir, 'keys', 'sweep', 'mypool')
  expect(shown).toContain(`4 outputs, 2251 satoshis, to keys of ${publicKey}`)
  const address = PrivateKey.fromRandom().toAddress()
  const sweeping = (await overpool('--dir', dir, 'keys', 'sweep', 'mypool', '--to', address)).trim()
  const tx = Transaction.fromHex(sweeping)
  expect([tx.inputs.length, tx.outputs.length, tx.outputs[0]!.satoshis! > 2_000]).toEqual([3, 1, true])
  const paid = new Map((await entries()).map(({ hash, payment }) => [hash, Transaction.fromHex(payment.transaction)]))
  for (const [inputIndex, { sourceTXID, sourceOutputIndex, unlockingScript, sequence }] of tx.inputs.entries()) {
    const source = paid.get(sourceTXID!)!.outputs[sourceOutputIndex]!
    const spend = new Spend({
      sourceTXID: sourceTXID!,
      sourceOutputIndex,
      sourceSatoshis: source.satoshis!,
      lockingScript: source.lockingScript,
      transactionVersion: tx.version,
      otherInputs: tx.inputs.filter((_, i) => i !== inputIndex),
      outputs: tx.outputs,
      unlockingScript: unlockingScript!,
      inputSequence: sequence!,
      inputIndex,
      lockTime: tx.lockTime,
    })
    expect(spend.validate()).toBe(true)
  }
  const root = JSON.parse((await overpool('--dir', dir, '--json', 'keys', 'sweep', 'mypool', '--root')).trim().split('\n').at(-1)!)
  expect(PrivateKey.fromHex(root.rootKey).toPublicKey().toString()).toBe(publicKey)

  await pool.broadcast(sweeping, { path: 'mypool' })
  expect(await overpool('--dir', dir, 'keys', 'sweep', 'mypool')).toContain('1 output, 1 satoshis') // the dust that was left
})
