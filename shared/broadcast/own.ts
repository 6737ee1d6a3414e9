import type { OwnService } from '../config/bitcoin.ts'
import { reasonOf } from '../errors.ts'
import type { Service, Word } from './service.ts'

/** A function of the user's own as a service. It cannot be asked. */
export function ownService(broadcast: OwnService): Service {
  return {
    name: `function ${broadcast.name || 'of the config'}`,
    async send(transactions) {
      try {
        await broadcast(transactions.map(({ tx, txid }) => ({ tx: Buffer.from(tx).toString('hex'), txid })))
        return transactions.map(({ txid }): Word => ({ txid, says: 'sent' }))
      } catch (error) {
        const { final, reason } = Object(error) as { final?: unknown; reason?: unknown }
        const why = typeof reason === 'string' ? reason : reasonOf(error)
        const verdict: Omit<Word, 'txid'> = final === true ? { says: 'rejected', final, reason: why } : { says: 'local', reason: why }
        return transactions.map(({ txid }) => ({ txid, ...verdict }))
      }
    },
    ask: async (txid) => ({ txid, says: 'unknown' }),
  }
}
