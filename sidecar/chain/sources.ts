import type { ReadSecret } from '../../shared/broadcast/secret.ts'
import type { BitcoinSettings } from '../../shared/config/bitcoin.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { FolderSource } from './folder.ts'
import { NodeSource } from './node.ts'
import { ServicesSource } from './services.ts'
import type { ChainSource } from './source.ts'

export interface SourceOptions {
  /** how often a source is asked whether anything is new, ms; default: as each source does */
  pollMs?: number | undefined
  /** takes what an operator should know, a line each */
  warn?: ((line: string) => void) | undefined
}

/**
 * Opens what the chain is read from, in the order in which it is asked.
 * @throws OverpoolError BAD_CONFIG: a secret is missing
 */
export function openSources(
  { network, chain = [] }: BitcoinSettings,
  secretOf: ReadSecret,
  { pollMs, warn }: SourceOptions = {},
): Promise<ChainSource[]> {
  const polling = pollMs !== undefined && { pollMs }
  return Promise.all(
    chain.map(async (place, i): Promise<ChainSource> => {
      if ('blocks' in place) return new FolderSource({ folder: place.blocks, network })
      if ('services' in place) {
        if (network === 'regtest') throw new OverpoolError('BAD_CONFIG', `bitcoin.chain[${i}]: no public service knows a regtest network`)
        return new ServicesSource({ network, ...polling })
      }
      const password = await secretOf(place.password, `bitcoin.chain[${i}].password`)
      return new NodeSource({ url: place.node, user: place.user, password, zmq: place.zmq, network, warn, ...polling })
    }),
  )
}
