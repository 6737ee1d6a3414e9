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
  type RunsOptions,
} from './client/overpool.ts'
export { Budget, type Limit, type PayingOptions, payingFetch, type Receipt } from './client/paying-fetch.ts'
export type { PayingWallet } from './client/paying-wallet.ts'
export { createPaywall, type PaidHandler, type PaidRequest, type PaywallOf, type PaywallOptions } from './client/paywall.ts'
export type { FilterConfig, Watch } from './shared/chain/filter.ts'
export type {
  BitcoinSettings,
  BroadcastPlace,
  ChainPlace,
  CommitPolicy,
  GridSettings,
  NodePlace,
  OwnService,
  SecretPlace,
} from './shared/config/bitcoin.ts'
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
export type { EventsSetting, FollowDecision, FollowRequest } from './shared/config/events.ts'
export type { ForwardConfig } from './shared/config/forward.ts'
export { type ErrorCode, OverpoolError } from './shared/errors.ts'
export type { PageSettings } from './shared/invoice/page-settings.ts'
export type { RequestSetting, Terms, TermsOutput } from './shared/invoice/terms.ts'
export type { InvoiceState } from './shared/invoice/view.ts'
export type {
  BlockEvent,
  CommitEvent,
  InvoiceEvent,
  LedgerEvent,
  Payment,
  ReorgEvent,
  StatusEvent,
  TxEvent,
} from './shared/ledger/event.ts'
export type { StatusName, TxStatus } from './shared/ledger/status.ts'
export type { Broadcast, Broadcastable, BroadcastOptions } from './shared/machine/commit.ts'
export {
  defineHandler,
  type HandlerDefinition,
  type HandlerOptions,
  type InvoicePayment,
  type OnBlock,
  type OnInvoice,
  type OnReorg,
  type OnStatus,
  type OnTx,
} from './shared/machine/handlers.ts'
export type { InvoiceCalls, InvoiceOptions, InvoiceStatus } from './shared/machine/invoices.ts'
export type { Pools, PubOptions, SubOptions, WatchOptions } from './shared/machine/machine.ts'
export type { AncestorTransaction, Kinds } from './shared/machine/pools.ts'
export type { PaymentLike, Posted, PostOptions, TransactionLike } from './shared/machine/post.ts'
export type { PoolStatus } from './shared/machine/status.ts'
export type { Payee } from './shared/paywall/payee.ts'
export type { PaidFor } from './shared/paywall/paywall.ts'
export type { HandlerState, ListOptions, StateItem } from './shared/state/handler-state.ts'
export type { StateOptions, StateView } from './shared/state/view.ts'
export type { Run } from './shared/store/runs.ts'
export { type DataPush, dataTransaction, type Parsed } from './shared/transaction/index.ts'
