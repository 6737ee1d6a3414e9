import { HD, P2PKH, Utils } from '@bsv/sdk'
import { OverpoolError } from '../errors.ts'
import type { FreshOutput, FreshOutputs } from './invoice.ts'

/** Makes scripts for payments to come to, each for a key of its own below one extended public key (BIP32). The private keys are elsewhere. */
export class Receiver implements FreshOutputs {
  readonly #root: HD
  /** the keys from which others are derived, by the first number of their path: each step takes some milliseconds */
  readonly #branches = new Map<string, HD>()
  readonly #prefix: number[]

  /** @param xpub an extended public key. @param isTest whether addresses are those of a test network. @throws OverpoolError BAD_CONFIG */
  constructor(xpub: string, isTest = false) {
    let root: HD
    try {
      root = HD.fromString(xpub)
    } catch (cause) {
      throw notExtended(cause)
    }
    if (root.isPrivate()) throw notExtended()
    this.#root = root
    this.#prefix = [isTest ? 0x6f : 0x00]
  }

  at(keyPath: string): FreshOutput {
    const [branch = '', ...rest] = keyPath.split('/')
    const from = this.#branches.get(branch) ?? this.#root.deriveChild(Number(branch))
    this.#branches.set(branch, from)
    const key = rest.reduce((parent, n) => parent.deriveChild(Number(n)), from)
    const hash = key.pubKey.toHash() as number[]
    return { script: new P2PKH().lock(hash).toHex(), address: Utils.toBase58Check(hash, this.#prefix), keyPath }
  }
}

/** The machine's own extended private key, where the config names no `receive`. */
export function ownExtendedKey(seed: Uint8Array): HD {
  return HD.fromSeed([...seed])
}

function notExtended(cause?: unknown): OverpoolError {
  return new OverpoolError(
    'BAD_CONFIG',
    'the config is wrong: `receive` is an extended public key that begins with xpub: take it from your wallet, or from `overpool keys`. It never is the private one (xprv)',
    { cause },
  )
}
