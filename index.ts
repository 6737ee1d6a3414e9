import '#node-version' // first of all, so that a Node that is too old fails here, with a sentence

export type { Payment, TxEvent } from './functions/handler/event.ts'
export type { OnTx, PaymentLike, Pools, Posted, PostOptions, TransactionLike } from './functions/handler/pools.ts'
export type { PoolStatus } from './functions/handler/status.ts'
export {
  type Created,
  type CreateOptions,
  type MachineError,
  type OnOptions,
  Overpool,
  Overpool as default,
  type OverpoolOptions,
  type PubOptions,
  type ReadyOptions,
  type SubOptions,
} from './local/overpool.ts'
export {
  defineConfig,
  type Filter,
  type FilterPayment,
  type NetworkSettings,
  type OverpoolConfig,
  type PoolConfig,
  type PoolSettings,
  type SubscriptionConfig,
} from './shared/config.ts'
export { type ErrorCode, OverpoolError } from './shared/errors.ts'
export type { Parsed } from './shared/transaction/index.ts'
