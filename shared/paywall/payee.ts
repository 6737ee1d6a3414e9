import { createECDH, createHmac, ECDH } from 'node:crypto'
import { hex } from '../ledger/values.ts'
import { hash160 } from '../transaction/parsed.ts'

/**
 * Whoever gets the money: a wallet in the sense of BRC-100, or a key of this machine. What is asked of it: its public keys, and a code that only it can make, by which it knows its
 * own invoices again.
 */
export interface Payee {
  getPublicKey(args: KeyAsked | { identityKey: true }): Promise<{ publicKey: string }>
  createHmac(args: KeyAsked & { data: number[] }): Promise<{ hmac: ArrayLike<number> }>
}

/** Which key of a wallet is asked for (BRC-43). The types of `@bsv/sdk` say the same; they would be checked with the program of whoever uses this library. */
export interface KeyAsked {
  protocolID: [0 | 1 | 2, string]
  keyID: string
  counterparty: string
  forSelf?: boolean
}

/** Which key of the payee a payment goes to (BRC-29). Without these three nobody can spend it, so they are kept with its entry. */
export interface Derivation {
  /** public key of who made the derivation: of the payer, or ANYONE */
  sender: string
  /** base64 */
  prefix: string
  suffix: string
}

/** The public key of the private key 1: the sender where the payee derives a key by itself (BRC-43, "anyone"). A wallet takes it as any other sender. */
export const ANYONE = '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'
/** The protocol of BRC-29. */
export const BRC29 = '3241645161d8'

/** The payee of a pool. The library is loaded here, so that who takes no payments of this kind does without it. */
export async function payeeOf(secret: string, pool: string): Promise<Payee> {
  const [{ default: PrivateKey }, { ProtoWallet }] = await Promise.all([
    import('@bsv/sdk/primitives/PrivateKey'),
    import('@bsv/sdk/wallet/ProtoWallet'),
  ])
  const key = keyOf(secret, pool)
  const wallet = new ProtoWallet(PrivateKey.fromHex(key))
  return {
    getPublicKey: async (args) =>
      'keyID' in args && args.counterparty === ANYONE && args.forSelf ? { publicKey: ownKey(key, args) } : wallet.getPublicKey(args),
    createHmac: (args) => wallet.createHmac(args),
  }
}

/** The order of the curve. */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/**
 * The public key that `ProtoWallet` derives for the counterparty ANYONE (BRC-42), by Node's own arithmetic: each answer 402 needs a new one, and this takes a quarter of the time. The
 * secret that is shared with the private key 1 is the public key itself.
 */
function ownKey(root: string, { protocolID: [level, protocol], keyID }: KeyAsked): string {
  const curve = createECDH('secp256k1')
  curve.setPrivateKey(root, 'hex')
  const offset = createHmac('sha256', curve.getPublicKey(null, 'compressed')).update(`${level}-${protocol}-${keyID}`).digest('hex')
  const child = (BigInt(`0x${root}`) + BigInt(`0x${offset}`)) % ORDER
  curve.setPrivateKey(child.toString(16).padStart(64, '0'), 'hex')
  return curve.getPublicKey('hex', 'compressed')
}

/** The secret of a machine whose seed is on its disk. On AWS it is a secret of its own: the public door must not know the seed. */
export function paySecretOf(seed: Uint8Array): string {
  return createHmac('sha256', seed).update('overpool payments').digest('hex')
}

/**
 * The private key of a pool, 64 hex: the same secret gives the same key. Each pool has one of its own, because a payment of BRC-121 names nothing but the key that it goes to:
 * with a common one it would buy something in each pool.
 */
export function keyOf(secret: string, pool: string): string {
  return createHmac('sha256', secret).update(pool).digest('hex')
}

/** The locking script of a derivation (P2PKH), in hex. @throws whatever the payee throws */
export async function scriptOf(payee: Payee, { sender, prefix, suffix }: Derivation): Promise<string> {
  const { publicKey } = await payee.getPublicKey({
    protocolID: [2, BRC29],
    keyID: `${prefix} ${suffix}`,
    counterparty: sender,
    forSelf: true,
  })
  return p2pkh(publicKey)
}

/** The script that pays to a public key by its hash. @param publicKey hex */
export function p2pkh(publicKey: string): string {
  return `76a914${hex(hash160(Buffer.from(publicKey, 'hex')))}88ac`
}

/** Whether the text is the public key of a point of the curve, compressed, in hex. */
export function isPublicKey(text: string): boolean {
  if (!/^0[23][\da-f]{64}$/i.test(text)) return false
  try {
    ECDH.convertKey(text, 'secp256k1', 'hex')
    return true
  } catch {
    return false
  }
}
