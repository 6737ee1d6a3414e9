import { hash } from 'node:crypto'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type CallOptions, call } from '../aws/call.ts'
import { OverpoolError } from '../errors.ts'
import type { Blobs } from './port.ts'

/** Time of one attempt, ms: longer than for small requests, since a blob may be many megabytes. */
const ATTEMPT_MS = 30_000

/** The prefix of keys. Blocks, and what came along with payments, are kept for good; bodies of messages expire when no queue can hold their message any more. */
export type Prefix = 'blocks/' | 'messages/' | 'ancestors/'

export interface S3BlobsOptions {
  client: S3Client
  bucket: string
  prefix: Prefix
  giveUpMs?: number
}

/** Objects of a bucket, `<prefix><name>`. S3 reads are consistent: what was put is there. */
export class S3Objects {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: Prefix
  readonly #options: CallOptions

  constructor({ client, bucket, prefix, giveUpMs }: S3BlobsOptions) {
    this.#client = client
    this.#bucket = bucket
    this.#prefix = prefix
    this.#options = { giveUpMs, attemptMs: ATTEMPT_MS }
  }

  /** A second object with this name takes the place of the first. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    const command = { Bucket: this.#bucket, Key: this.#prefix + name, Body: bytes, ContentType: 'application/octet-stream' }
    await call(
      `putting ${command.Key} into the bucket ${this.#bucket}`,
      (options) => this.#client.send(new PutObjectCommand(command), options),
      this.#options,
    )
  }

  /** The bytes of an object; undefined if there is none. */
  async get(name: string): Promise<Uint8Array | undefined> {
    const object = { Bucket: this.#bucket, Key: this.#prefix + name }
    return call(`getting ${object.Key} of the bucket ${this.#bucket}`, (options) => this.#read(object, options), this.#options).catch(
      (error) => {
        if (error instanceof OverpoolError && isNoSuchKey(error.cause)) return undefined
        throw error
      },
    )
  }

  /** The names that begin so, in their order, at most `max`. */
  async list(begin: string, max: number): Promise<string[]> {
    const command = { Bucket: this.#bucket, Prefix: this.#prefix + begin, MaxKeys: max }
    const { Contents = [] } = await call(
      `listing ${command.Prefix} in the bucket ${this.#bucket}`,
      (options) => this.#client.send(new ListObjectsV2Command(command), options),
      this.#options,
    )
    return Contents.flatMap(({ Key }) => (Key === undefined ? [] : [Key.slice(this.#prefix.length)]))
  }

  // The body is read inside the attempt, so a connection that breaks halfway is retried, too.
  async #read(object: { Bucket: string; Key: string }, options: { abortSignal: AbortSignal }): Promise<Uint8Array> {
    const { Body } = await this.#client.send(new GetObjectCommand(object), options)
    return Body!.transformToByteArray()
  }
}

/** Blobs as S3 objects, `<prefix><sha256>`. */
export class S3Blobs implements Blobs {
  readonly #objects: S3Objects

  constructor(options: S3BlobsOptions) {
    this.#objects = new S3Objects(options)
  }

  async put(bytes: Uint8Array): Promise<string> {
    const sha256 = nameOf(bytes)
    await this.#objects.put(sha256, bytes)
    return sha256
  }

  async get(sha256: string): Promise<Uint8Array> {
    checkName(sha256)
    const bytes = await this.#objects.get(sha256)
    if (!bytes) throw new OverpoolError('ENTRY_NOT_FOUND', `no blob ${sha256}`)
    return checked(sha256, bytes)
  }
}

function isNoSuchKey(error: unknown): boolean {
  return error instanceof Error && error.name === 'NoSuchKey'
}

function nameOf(bytes: Uint8Array): string {
  return hash('sha256', bytes)
}

/** A name comes from messages and items: only 64 hex characters may become part of a key. */
function checkName(sha256: string): void {
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new OverpoolError('BAD_ARGUMENT', 'the name of a blob is its sha256, 64 hex characters')
}

function checked(sha256: string, bytes: Uint8Array): Uint8Array {
  if (nameOf(bytes) !== sha256) throw new OverpoolError('BAD_BLOCK', `the bytes kept as ${sha256} are damaged: they have another hash`)
  return bytes
}
