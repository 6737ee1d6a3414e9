import { scanTsc } from '../chain/merkle.ts'
import { type BitcoinSettings, type BroadcastPlace, broadcastPlaces } from '../config/bitcoin.ts'
import { arcService } from './arc.ts'
import { arcadeService } from './arcade.ts'
import { nodeService } from './node.ts'
import { ownService } from './own.ts'
import type { ReadSecret } from './secret.ts'
import type { Service } from './service.ts'

/**
 * Opens what takes transactions to the network, in the order in which it is tried.
 * @param streamToken by which Arcade's event stream knows this machine
 * @throws OverpoolError BAD_CONFIG: a secret is missing
 */
export function openServices(
  settings: BitcoinSettings,
  { secretOf, streamToken }: { secretOf: ReadSecret; streamToken: string },
): Promise<Service[]> {
  const open = async (place: BroadcastPlace, where: string): Promise<Service> => {
    if (typeof place === 'function') return ownService(place)
    if ('node' in place) {
      const password = await secretOf(place.password, `${where}.password`)
      const { network } = settings
      return nodeService({ url: place.node, user: place.user, password, network, bumpOf: (proof, height) => scanTsc(proof).bump(height) })
    }
    const apiKey = await secretOf(place.apiKey, `${where}.apiKey`)
    return 'arc' in place ? arcService({ url: place.arc, apiKey }) : arcadeService({ url: place.arcade, apiKey, streamToken })
  }
  return Promise.all(broadcastPlaces(settings).map((place, i) => open(place, `bitcoin.broadcast[${i}]`)))
}
