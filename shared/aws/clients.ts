/** Options of every AWS client. */
interface ClientConfig {
  /** default: the environment's */
  region?: string
  /** One: retries are ours (call.ts), and those of the SDK would multiply with them. */
  maxAttempts: 1
}

export interface AwsClientsOptions {
  /** default: the environment's */
  region?: string
  /** AWS_ENDPOINT_URL, if an emulator is used. The SDK reads it by itself; only S3 needs a setting (bucket.ts). */
  endpoint?: string
  /** Traces the requests of a client (functions/tracing.ts); default: no traces. */
  traced?: <Client>(client: Client) => Client
}

/** The AWS clients of a program, one for each service: made at first use, closed together. */
export class AwsClients {
  readonly isEmulated: boolean
  readonly #config: ClientConfig
  readonly #traced: <Client>(client: Client) => Client
  readonly #made = new Map<unknown, { destroy(): void }>()

  constructor({ region, endpoint, traced = (client) => client }: AwsClientsOptions) {
    this.isEmulated = endpoint !== undefined
    this.#config = { region, maxAttempts: 1 }
    this.#traced = traced
  }

  /** @param more settings that only this service has */
  of<Client extends { destroy(): void }, More>(Service: new (config: ClientConfig & More) => Client, more?: More): Client {
    const made = this.#made.get(Service) as Client | undefined
    if (made) return made
    const client = this.#traced(new Service({ ...this.#config, ...more } as ClientConfig & More))
    this.#made.set(Service, client)
    return client
  }

  close(): void {
    for (const client of this.#made.values()) client.destroy()
  }
}
