/** Bytes under their sha256 (64 hex): what is too big for a message or an item. */
export interface Blobs {
  /** Resolves to the sha256 when the bytes are durable. A second call is harmless. */
  put(bytes: Uint8Array): Promise<string>
  /** The bytes, checked against their name; ENTRY_NOT_FOUND when there are none. */
  get(sha256: string): Promise<Uint8Array>
}
