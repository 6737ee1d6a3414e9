import type { Blobs } from '../blobs/port.ts'
import type { Prefix } from '../blobs/s3.ts'
import type { AwsClients } from './clients.ts'

/** A machine's bucket. The S3 client is loaded with the first blob: few payments need it, and the others do not pay for it. */
export class Bucket {
  readonly #clients: AwsClients
  readonly #name: string
  #opened: Promise<(prefix: Prefix) => Blobs> | undefined

  constructor(clients: AwsClients, name: string) {
    this.#clients = clients
    this.#name = name
  }

  blobs(prefix: Prefix): Blobs {
    const blobs = async () => {
      this.#opened ??= this.#load()
      return (await this.#opened)(prefix)
    }
    return { put: async (bytes) => (await blobs()).put(bytes), get: async (sha256) => (await blobs()).get(sha256) }
  }

  async #load(): Promise<(prefix: Prefix) => Blobs> {
    const [{ S3Client }, { S3Blobs }] = await Promise.all([import('@aws-sdk/client-s3'), import('../blobs/s3.ts')])
    const client = this.#clients.of(S3Client, { forcePathStyle: this.#clients.isEmulated }) // emulators have no host name for each bucket
    return (prefix) => new S3Blobs({ client, bucket: this.#name, prefix })
  }
}
