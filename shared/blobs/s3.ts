import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type CallOptions, call } from '../aws/call.ts'
import { OverpoolError } from '../errors.ts'
import { checked, checkName, nameOf, noBlob } from './named.ts'
import type { Blobs } from './port.ts'

/** A blob may be many megabytes: one attempt has longer than those at small requests. */
const ATTEMPT_MS = 30_000

export interface S3BlobsOptions {
  client: S3Client
  bucket: string
  /** what keys begin with: blobs that may expire (bodies of messages) and those that may not (blocks) can lie apart */
  prefix?: string
  giveUpMs?: number
  attemptMs?: number
}

/** Blobs as S3 objects, `blobs/<sha256>`. S3 reads are consistent: what was put is there. */
export class S3Blobs implements Blobs {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string
  readonly #options: CallOptions

  constructor({ client, bucket, prefix = 'blobs/', giveUpMs, attemptMs = ATTEMPT_MS }: S3BlobsOptions) {
    this.#client = client
    this.#bucket = bucket
    this.#prefix = prefix
    this.#options = { giveUpMs, attemptMs }
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
      if (error instanceof OverpoolError && isNoSuchKey(error.cause)) throw noBlob(sha256, error.cause)
      throw error
    })
    return checked(sha256, bytes)
  }

  // The body is read inside the attempt: a connection that breaks halfway is tried again too.
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
