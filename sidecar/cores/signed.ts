import Hypercore from 'hypercore'
import { treeSignable } from 'hypercore/lib/caps.js'
import Verifier from 'hypercore/lib/verifier.js'
import crypto, { type KeyPair, type TreeNode } from 'hypercore-crypto'
import type { PoolAddress } from '../../shared/ledger/pool-address.ts'
import { hex } from '../../shared/ledger/values.ts'
import type { Signed, SignedText } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'

/** Blocks read at once. */
const PAGE = 64

/** Whether the publisher of this key has signed a log of this length and tree hash (hypercore, manifest version 1, one signer). */
export function isSignedBy(key: string, { length, treeHash, signature, signer }: Signed): boolean {
  const manifest = Verifier.createManifest({ version: 1, signers: [{ publicKey: Buffer.from(signer, 'hex') }] })
  if (Hypercore.key(manifest).toString('hex') !== key) return false
  const signable = (manifestHash: Uint8Array) => treeSignable(manifestHash, Buffer.from(treeHash, 'hex'), length, 0)
  return new Verifier(Buffer.from(key, 'hex'), manifest).verify({ length, fork: 0, signable }, Buffer.from(signature, 'hex'))
}

/** Signs a text with a pool's key pair. The key stands in the signed bytes, so that no signature over anything else can be taken for it. */
export function signText(key: string, text: string, { publicKey, secretKey }: KeyPair): SignedText {
  return { text, signer: hex(publicKey), signature: hex(crypto.sign(textSignable(key, text), secretKey)) }
}

/** Whether the publisher of this key has signed the text. */
export function isTextSignedBy(key: string, { text, signer, signature }: SignedText): boolean {
  const publicKey = Buffer.from(signer, 'hex')
  if (publicKey.length !== 32 || hex(Hypercore.key({ version: 1, signers: [{ publicKey }] })) !== key) return false
  return crypto.verify(textSignable(key, text), Buffer.from(signature, 'hex'), publicKey)
}

function textSignable(key: string, text: string): Buffer {
  return Buffer.from(`overpool text\0${key}\0${text}`)
}

/** A hypercore's Merkle tree, as its blocks are added. */
export interface Tree {
  add(block: Uint8Array): void
  /** 64 hex */
  readonly value: string
}

/** The tree hash of the first `length` blocks in a pool's mirror; undefined if it has fewer. @param tree an empty one */
export async function treeHashOf(
  { blocks: stored }: Pick<Stores, 'blocks'>,
  path: string,
  length: number,
  tree: Tree,
): Promise<string | undefined> {
  for (let n = 0; n < length; ) {
    const blocks = await stored.read(path, n, Math.min(PAGE, length - n))
    if (!blocks.length) return undefined
    for (const { bytes } of blocks) tree.add(bytes)
    n += blocks.length
  }
  return tree.value
}

/**
 * The tree hash of a hypercore, computed from its blocks alone. So the mirror can be compared with what was signed, even without the core.
 * Blocks of an encrypted core are encrypted first, as the core does it.
 */
export class TreeHash implements Tree {
  readonly #encryption: { encrypt(n: number, padded: Uint8Array, fork: number, core: { compat: boolean }): void } | undefined
  #length = 0
  /** the roots of the whole subtrees, from the left; each higher than the next */
  readonly #roots: { height: number; node: TreeNode }[] = []

  constructor({ key, secret }: PoolAddress) {
    if (secret !== undefined) this.#encryption = new Hypercore.DefaultEncryption(Buffer.from(secret, 'hex'), Buffer.from(key, 'hex'))
  }

  /** Adds the next block. */
  add(block: Uint8Array): void {
    const bytes = this.#encrypted(block)
    let height = 0
    let node: TreeNode = { index: 2 * this.#length, size: bytes.length, hash: crypto.data(bytes) }
    for (let left = this.#roots.at(-1); left?.height === height; left = this.#roots.at(-1)) {
      this.#roots.pop()
      node = { index: (left.node.index + node.index) / 2, size: left.node.size + node.size, hash: crypto.parent(left.node, node) }
      height++
    }
    this.#roots.push({ height, node })
    this.#length++
  }

  /** 64 hex */
  get value(): string {
    return crypto.tree(this.#roots.map(({ node }) => node)).toString('hex')
  }

  #encrypted(block: Uint8Array): Uint8Array {
    if (!this.#encryption) return block
    const padded = Buffer.concat([Buffer.alloc(Hypercore.DefaultEncryption.PADDING), block])
    this.#encryption.encrypt(this.#length, padded, 0, { compat: false })
    return padded
  }
}
