import { readSeed } from '../local/folder.ts'
import { receiveSeed } from '../local/invoicing.ts'
import { OverpoolError } from '../shared/errors.ts'
import { isRefused } from '../shared/ledger/status.ts'
import { hexBytes } from '../shared/ledger/values.ts'
import { BRC29, isPublicKey, keyOf, payeeOf, scriptOf } from '../shared/paywall/payee.ts'
import type { PaidFor } from '../shared/paywall/paywall.ts'
import { scanTransaction } from '../shared/transaction/index.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'
import { count } from './out.ts'

export interface SweepFlags {
  /** an address: the signed transaction is made that pays everything to it */
  to?: string
  /** show the private key from which the keys of the payments are derived */
  root?: boolean
}

/** An output of a payment, and what its key is derived from. */
interface Spendable {
  txid: string
  vout: number
  satoshis: number
  tx: string
  sender: string
  prefix: string
  suffix: string
}

/** Longest prefix and suffix together: a key of BRC-43 has a name of 800 characters at most. */
const MAX_NAME = 799
/** Satoshis for each kilobyte of the transaction that is made. */
const FEE_RATE = 100
/** Bytes of an input. An output that is worth less than its input costs stays where it is: anybody could pay many of them. */
const INPUT_BYTES = 148

/**
 * Shows what was paid into a pool by HTTP 402 and paymail, and how it is spent. What a transaction broadcast from this pool has spent is left out; whether something else has
 * spent it, only the chain knows.
 */
export async function sweep(pool: string, { to, root }: SweepFlags, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    const secret = await machine.paySecret()
    const payee = await payeeOf(secret, pool)
    const { publicKey } = await payee.getPublicKey({ identityKey: true })
    const found = new Map<string, Spendable>()
    const spentBy = new Map<string, string[]>()
    for await (const event of machine.pools.read({ path: pool, kinds: ['tx', 'commit', 'status'] })) {
      if (event.kind === 'commit') for (const asked of event.of) if ('tx' in asked) noteSpent(spentBy, asked.tx)
      if (event.kind === 'status' && isRefused(event)) spentBy.delete(event.of.txid)
      if (event.kind !== 'tx') continue
      const { hash, payment } = event
      if (isRefused(event)) continue // nobody was paid
      const { sender, prefix, suffix } = Object(payment.merchantData) as Partial<PaidFor>
      if (typeof sender !== 'string' || typeof prefix !== 'string' || typeof suffix !== 'string') continue
      if (!isPublicKey(sender) || prefix.length + suffix.length > MAX_NAME) continue // anybody may write into a merchantData
      const script = await scriptOf(payee, { sender, prefix, suffix })
      let vout = 0
      for (const output of scanTransaction(hexBytes(payment.transaction)).readOutputs()) {
        const spendable = { txid: hash, vout, satoshis: Number(output.satoshis), tx: payment.transaction, sender, prefix, suffix }
        if (Buffer.from(output.script).toString('hex') === script) found.set(`${hash}:${vout}`, spendable)
        vout++
      }
    }
    for (const output of [...spentBy.values()].flat()) found.delete(output)
    const all = [...found.values()]
    if (to !== undefined) {
      const worth = all.filter(({ satoshis }) => satoshis * 1_000 > INPUT_BYTES * FEE_RATE)
      if (!worth.length)
        throw new OverpoolError('BAD_ARGUMENT', `nothing was paid into ${pool} by HTTP 402 or paymail that is not moved already`)
      const tx = await sweepingTransaction(worth, keyOf(secret, pool), to)
      return out.show({ pool, to, satoshis: sumOf(worth), tx }, tx)
    }
    for (const { tx: _, ...one } of all)
      out.show(one, `${one.txid}:${one.vout}  ${one.satoshis} sat  ${one.sender} ${one.prefix} ${one.suffix}`)
    out.say(
      `${count(all.length, 'output', 'outputs')}, ${sumOf(all)} satoshis, to keys of ${publicKey}.
A line is: output, satoshis, sender, derivation prefix, derivation suffix (BRC-29).
To move them: overpool keys sweep ${pool} --to <address> prints a signed transaction, for overpool broadcast ${pool} <hex>.
Or have a wallet take them whose root key is that of --root: wallet.internalizeAction({ tx, outputs: [{ outputIndex, protocol: 'wallet payment',
paymentRemittance: { senderIdentityKey, derivationPrefix, derivationSuffix } }], description }), where tx is the transaction as AtomicBEEF.
Outputs that another program spent are not told apart, nor are payments that the network has not got: it refuses a transaction that spends one of these.`,
    )
    if (!root) return
    const rootKey = keyOf(secret, pool)
    out.show({ identityKey: publicKey, rootKey }, `root key, which spends all of them: ${rootKey}`)
  })
}

/** Notes which outputs a transaction spends, under its txid. */
function noteSpent(spentBy: Map<string, string[]>, bytes: Uint8Array): void {
  const transaction = scanTransaction(bytes)
  spentBy.set(
    transaction.txid,
    [...transaction.readInputs()].map(({ txid, vout }) => `${txid}:${vout}`),
  )
}

function sumOf(all: Spendable[]): number {
  return all.reduce((sum, { satoshis }) => sum + satoshis, 0)
}

/** A signed transaction that pays all of these outputs to an address, but for the fee. */
async function sweepingTransaction(all: Spendable[], rootKey: string, to: string): Promise<string> {
  const { KeyDeriver, P2PKH, PrivateKey, SatoshisPerKilobyte, Transaction } = await import('@bsv/sdk')
  const root = new KeyDeriver(PrivateKey.fromHex(rootKey))
  const tx = new Transaction()
  for (const { tx: source, vout, sender, prefix, suffix } of all) {
    const key = root.derivePrivateKey([2, BRC29], `${prefix} ${suffix}`, sender)
    tx.addInput({
      sourceTransaction: Transaction.fromHex(source),
      sourceOutputIndex: vout,
      unlockingScriptTemplate: new P2PKH().unlock(key),
    })
  }
  try {
    tx.addOutput({ lockingScript: new P2PKH().lock(to), change: true })
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `${to} is no address`, { cause })
  }
  await tx.fee(new SatoshisPerKilobyte(FEE_RATE))
  if (!((tx.outputs[0]?.satoshis ?? 0) > 0))
    throw new OverpoolError('BAD_ARGUMENT', 'what was paid is less than the fee of the transaction that would move it')
  await tx.sign()
  return tx.toHex()
}

/** Shows the machine's own extended key for invoices: a wallet that has the public one watches their addresses, and one with the private one spends what came. */
export async function receive(flags: { private?: boolean }, { where: { dir }, out }: CommandContext<{ dir: string }>): Promise<void> {
  const { ownExtendedKey } = await import('../shared/invoice/receive.ts')
  const own = ownExtendedKey(receiveSeed(readSeed(dir, false)))
  const key = (flags.private ? own : own.toPublic()).toString()
  out.show(
    { [flags.private ? 'xprv' : 'xpub']: key, invoices: '0/n', requests: '1/n/n' },
    `${key}\n\ninvoices have the keys 0/0, 0/1, … below it, requests 1/n/n: \`overpool --json invoice <pool> --list\` shows the keyPath of each`,
  )
}
