/// <reference types="node" preserve="true" />
import '#node-version' // must stay first: a Node that is too old fails here, with a clear error

export {
  type Created,
  type CreateOptions,
  type MachineError,
  type OnOptions,
  Overpool,
  Overpool as default,
  type OverpoolOptions,
  type ReadyOptions,
} from './client/overpool.ts'
export {
  defineConfig,
  type Filter,
  type FilterPayment,
  type Limits,
  type NetworkSettings,
  type OverpoolConfig,
  type PoolConfig,
  type PoolSettings,
  type Quota,
  type SubscriptionConfig,
} from './shared/config/config.ts'
export { type ErrorCode, OverpoolError } from './shared/errors.ts'
export type { BlockEvent, CommitEvent, LedgerEvent, Payment, ReorgEvent, StatusEvent, TxEvent } from './shared/machine/event.ts'
export type { OnBlock, OnReorg, OnStatus, OnTx } from './shared/machine/handlers.ts'
export type { Pools, PubOptions, SubOptions } from './shared/machine/machine.ts'
export type { Kinds } from './shared/machine/pools.ts'
export type { PaymentLike, Posted, PostOptions, TransactionLike } from './shared/machine/post.ts'
export type { PoolStatus } from './shared/machine/status.ts'
export { type DataPush, dataTransaction, type Parsed } from './shared/transaction/index.ts'
