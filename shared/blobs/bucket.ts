import type { Blobs } from './port.ts'

/** What keys begin with: blocks are kept for good, bodies of messages expire when no queue can hold their message any more. */
export type Prefix = 'blocks/' | 'messages/'

/** A bucket whose client is loaded when the first blob is put or got: what few payments need costs the others nothing. */
export class Bucket {
  readonly #name: string
  readonly #pathStyle: boolean
  readonly #region: string | undefined
  #opened: Promise<(prefix: Prefix) => Blobs> | undefined

  /**
   * @param pathStyle emulators have no name for each bucket
   * @param region default: the environment's
   */
  constructor(name: string, pathStyle: boolean, region?: string) {
    this.#name = name
    this.#pathStyle = pathStyle
    this.#region = region
  }

  blobs(prefix: Prefix): Blobs {
    const blobs = async () => (await this.#open())(prefix)
    return { put: async (bytes) => (await blobs()).put(bytes), get: async (sha256) => (await blobs()).get(sha256) }
  }

  #open(): Promise<(prefix: Prefix) => Blobs> {
    this.#opened ??= this.#load()
    return this.#opened
  }

  async #load(): Promise<(prefix: Prefix) => Blobs> {
    const [{ S3Client }, { S3Blobs }] = await Promise.all([import('@aws-sdk/client-s3'), import('./s3.ts')])
    const client = new S3Client({ region: this.#region, maxAttempts: 1, forcePathStyle: this.#pathStyle })
    return (prefix) => new S3Blobs({ client, bucket: this.#name, prefix })
  }
}
