import { parallel } from '../../aws/call.ts'
import type { S3Objects } from '../../blobs/s3.ts'
import type { Ancestor } from '../../transaction/index.ts'
import { type Ancestors, MAX_PROOFS } from '../ancestors.ts'

/** Requests that one payment has under way at most. */
const WIDTH = 16

/** What came along with payments as S3 objects, `<txid>/tx`, `<txid>/spent` and `<txid>/proof-<root>`. */
export class S3Ancestors implements Ancestors {
  readonly #objects: S3Objects

  constructor(objects: S3Objects) {
    this.#objects = objects
  }

  async put(ancestors: Ancestor[]): Promise<void> {
    const objects = ancestors.flatMap(({ txid, tx, proof, spent }): [name: string, bytes: Uint8Array][] => [
      ...(tx ? [[`${txid}/tx`, tx] as [string, Uint8Array]] : []),
      ...(proof ? [[`${txid}/proof-${proof.root}`, proof.bump] as [string, Uint8Array]] : []),
      ...(spent ? [[`${txid}/spent`, spent] as [string, Uint8Array]] : []),
    ])
    await parallel(objects, WIDTH, ([name, bytes]) => this.#objects.put(name, bytes))
  }

  transaction(txid: string): Promise<Uint8Array | undefined> {
    return this.#objects.get(`${txid}/tx`)
  }

  spent(txid: string): Promise<Uint8Array | undefined> {
    return this.#objects.get(`${txid}/spent`)
  }

  async proofs(txid: string): Promise<Uint8Array[]> {
    const names = await this.#objects.list(`${txid}/proof-`, MAX_PROOFS)
    const found = await Promise.all(names.map((name) => this.#objects.get(name)))
    return found.filter((bytes) => bytes !== undefined)
  }
}
