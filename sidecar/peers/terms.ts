import type Hypercore from 'hypercore'
import type { Extension, Peer } from 'hypercore'
import { isPublicKey } from '../../shared/ledger/pool-address.ts'
import { asMap, hex, isUint } from '../../shared/ledger/values.ts'
import type { SignedText } from '../../shared/store/control.ts'
import { isTextSignedBy } from '../cores/signed.ts'

const EXTENSION = 'overpool/terms'
/** A longer message is ignored, bytes: this one names 3,800 machines. */
const MAX_MESSAGE = 256 * 1024
/** Hypercore: the requested block cannot be had here. */
const NOT_AVAILABLE = 1

/** Which machines may have a pool. */
interface Terms {
  /** newer terms have a higher one */
  version: number
  /** public keys, 64 hex; without it all machines may have the pool */
  machines?: string[]
}

/** The text of the terms, for the publisher to sign. */
export function termsText({ version, machines }: Terms): string {
  return JSON.stringify({ version, machines })
}

/**
 * The publisher's terms of one shared pool. They travel beside the blocks: the publisher signs them, and each machine sends them to the machines that it is connected with.
 * A follower gives blocks only to machines that the terms name, and to nobody before it knows the terms. The publisher itself ends the replication with others (`Swarm.restrict`).
 */
export class PoolTerms {
  readonly #key: string
  readonly #extension: Extension
  #signed: SignedText | undefined
  #terms: Terms | undefined

  /**
   * @param core is not replicated yet
   * @param signed the terms that are known already
   */
  constructor(core: Hypercore, { isOurs, signed }: { isOurs: boolean; signed: SignedText | undefined }) {
    this.#key = hex(core.key)
    this.#extension = core.registerExtension(EXTENSION, { onmessage: (message) => isOurs || this.#heard(message) })
    core.on('peer-add', (peer) => {
      if (!isOurs) this.#guard(peer)
      if (this.#signed) this.#extension.send(encoded(this.#signed), peer)
    })
    if (signed) this.set(signed)
  }

  get signed(): SignedText | undefined {
    return this.#signed
  }

  /** Takes terms that are newer than the known ones, and passes them on. Others are ignored. */
  set(signed: SignedText): void {
    const terms = termsOf(this.#key, signed)
    if (!terms || terms.version <= (this.#terms?.version ?? -1)) return
    this.#signed = signed
    this.#terms = terms
    this.#extension.broadcast(encoded(signed))
  }

  #heard(message: Buffer): void {
    if (message.length > MAX_MESSAGE) return
    try {
      const { text, signer, signature } = asMap(JSON.parse(message.toString()), 'terms')
      this.set({ text: String(text), signer: String(signer), signature: String(signature) })
    } catch {} // nonsense of a peer
  }

  /** Replaces the peer's methods that give blocks: Hypercore itself gives them to every peer of a core. */
  #guard(peer: Peer): void {
    const { onrequest, push } = peer
    const mayHave = () => this.#terms !== undefined && (this.#terms.machines?.includes(hex(peer.remotePublicKey)) ?? true)
    peer.onrequest = async (message) => {
      if (mayHave()) await onrequest.call(peer, message)
      else peer.wireNoData.send({ request: message.id, reason: NOT_AVAILABLE })
    }
    peer.push = async (index) => {
      if (mayHave()) await push.call(peer, index)
    }
  }
}

/** The terms, if the pool's key has signed them and they make sense. */
function termsOf(key: string, signed: SignedText): Terms | undefined {
  if (!isTextSignedBy(key, signed)) return undefined
  const { version, machines } = asMap(JSON.parse(signed.text), 'terms')
  if (!isUint(version) || !(machines === undefined || (Array.isArray(machines) && machines.every(isPublicKey)))) return undefined
  return { version, machines }
}

function encoded(signed: SignedText): Buffer {
  return Buffer.from(JSON.stringify(signed))
}
