import type { Blobs } from '../blobs/port.ts'
import type { Prefix } from '../blobs/s3.ts'
import type { Ancestors } from '../store/ancestors.ts'
import type { AwsClients } from './clients.ts'

interface Opened {
  blobs: (prefix: Prefix) => Blobs
  ancestors: Ancestors
}

/** A machine's bucket. The S3 client is loaded with the first blob: few payments need it, and the others do not pay for it. */
export class Bucket {
  readonly #clients: AwsClients
  readonly #name: string
  #opened: Promise<Opened> | undefined

  constructor(clients: AwsClients, name: string) {
    this.#clients = clients
    this.#name = name
  }

  blobs(prefix: Prefix): Blobs {
    const blobs = async () => (await this.#open()).blobs(prefix)
    return { put: async (bytes) => (await blobs()).put(bytes), get: async (sha256) => (await blobs()).get(sha256) }
  }

  /** What came along with payments. */
  ancestors(): Ancestors {
    const ancestors = async () => (await this.#open()).ancestors
    return {
      put: async (list) => (await ancestors()).put(list),
      transaction: async (txid) => (await ancestors()).transaction(txid),
      spent: async (txid) => (await ancestors()).spent(txid),
      proofs: async (txid) => (await ancestors()).proofs(txid),
    }
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#load()
    return this.#opened
  }

  async #load(): Promise<Opened> {
    const [{ S3Client }, { S3Blobs, S3Objects }, { S3Ancestors }] = await Promise.all([
      import('@aws-sdk/client-s3'),
      import('../blobs/s3.ts'),
      import('../store/s3/ancestors.ts'),
    ])
    const client = this.#clients.of(S3Client, { forcePathStyle: this.#clients.isEmulated }) // emulators have no host name for each bucket
    const options = { client, bucket: this.#name }
    return {
      blobs: (prefix) => new S3Blobs({ ...options, prefix }),
      ancestors: new S3Ancestors(new S3Objects({ ...options, prefix: 'ancestors/' })),
    }
  }
}
