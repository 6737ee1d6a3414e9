import { hash } from 'node:crypto'
import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type CallOptions, call } from '../aws/call.ts'
import { OverpoolError } from '../errors.ts'
import type { Blobs } from './port.ts'

/** Time of one attempt, ms: longer than for small requests, since a blob may be many megabytes. */
const ATTEMPT_MS = 30_000

/** The prefix of keys. Blocks are kept for good; bodies of messages expire when no queue can hold their message any more. */
export type Prefix = 'blocks/' | 'messages/'

export interface S3BlobsOptions {
  client: S3Client
  bucket: string
  prefix: Prefix
  giveUpMs?: number
}

/** Blobs as S3 objects, `<prefix><sha256>`. S3 reads are consistent: what was put is there. */
export class S3Blobs implements Blobs {
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

  async put(bytes: Uint8Array): Promise<string> {
    const sha256 = nameOf(bytes)
    const command = { ...this.#object(sha256), Body: bytes, ContentType: 'application/octet-stream' }
    await call(
      `putting ${command.Key} into the bucket ${this.#bucket}`,
      (options) => this.#client.send(new PutObjectCommand(command), options),
      this.#options,
    )
    return sha256
  }

  async get(sha256: string): Promise<Uint8Array> {
    const object = this.#object(sha256)
    const bytes = await call(
      `getting ${object.Key} of the bucket ${this.#bucket}`,
      (options) => this.#read(object, options),
      this.#options,
    ).catch((error) => {
      if (error instanceof OverpoolError && isNoSuchKey(error.cause))
        throw new OverpoolError('ENTRY_NOT_FOUND', `no blob ${sha256}`, { cause: error.cause })
      throw error
    })
    return checked(sha256, bytes)
  }

  // The body is read inside the attempt, so a connection that breaks halfway is retried, too.
  async #read(object: { Bucket: string; Key: string }, options: { abortSignal: AbortSignal }): Promise<Uint8Array> {
    const { Body } = await this.#client.send(new GetObjectCommand(object), options)
    return Body!.transformToByteArray()
  }

  #object(sha256: string): { Bucket: string; Key: string } {
    checkName(sha256)
    return { Bucket: this.#bucket, Key: this.#prefix + sha256 }
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
