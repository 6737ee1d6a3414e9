import { dataTransaction } from './data.ts'

/** A valid transaction to try a pool with, hex. Another text makes another transaction. */
export function sampleTransaction(text: string): string {
  return dataTransaction(text)
}
