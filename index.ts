export type { Payment, TxEvent } from './functions/handler/event.ts'
export type { OnTx, PaymentLike, Pools, Posted, PostOptions, TransactionLike } from './functions/handler/pools.ts'
// `require('overpool-cloud')` gives the class itself, as the original did: Node hands out the export of this name.
export {
  type Created,
  type CreateOptions,
  type MachineError,
  type OnOptions,
  Overpool,
  Overpool as default,
  Overpool as 'module.exports',
  type OverpoolOptions,
  type PubOptions,
  type ReadyOptions,
  type SubOptions,
} from './local/overpool.ts'
export { defineConfig, type Filter, type FilterPayment, type OverpoolConfig, type PoolConfig, type PoolSettings } from './shared/config.ts'
export { type ErrorCode, OverpoolError } from './shared/errors.ts'
export type { Parsed } from './shared/transaction/index.ts'
