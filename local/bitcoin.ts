import { createHmac } from 'node:crypto'
import { callbackTo, streamTokenOf } from '../shared/broadcast/callbacks.ts'
import { localSecrets } from '../shared/broadcast/secret.ts'
import type { Callback, Service } from '../shared/broadcast/service.ts'
import { openServices } from '../shared/broadcast/services.ts'
import type { BitcoinSettings } from '../shared/config/bitcoin.ts'
import type { ChainSource } from '../sidecar/chain/source.ts'
import { openSources } from '../sidecar/chain/sources.ts'

/** What a machine knows of Bitcoin. */
export interface BitcoinParts {
  network: BitcoinSettings['network']
  /** what takes transactions to the network, in the order in which they are tried */
  services: readonly Service[]
  /** what the chain is read from, in the order in which they are asked */
  sources: readonly ChainSource[]
  /** where services call back, if they can reach this machine */
  callback?: Callback
  /** what the tokens of callbacks are made of */
  secret: string
}

/**
 * Opens what the settings name.
 * @param seed of the machine: what services are told to call back with is derived from it
 * @param warn takes what an operator should know, a line each
 * @throws OverpoolError BAD_CONFIG: a secret is missing
 */
export async function openBitcoin(
  settings: BitcoinSettings,
  seed: Uint8Array,
  warn: (line: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<BitcoinParts> {
  const { network, callbacks } = settings
  const secret = createHmac('sha256', seed).update('overpool callbacks').digest('hex')
  const secretOf = localSecrets(env)
  return {
    network,
    services: await openServices(settings, { secretOf, streamToken: streamTokenOf(secret) }),
    sources: await openSources(settings, secretOf, { warn }),
    secret,
    ...(callbacks !== undefined && { callback: callbackTo(callbacks, secret) }),
  }
}
