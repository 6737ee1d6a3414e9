import type * as library from '../dist/index.js' with { 'resolution-mode': 'import' }

// The types of require.cjs: the class itself, with everything else as its properties. The types are listed again, since TypeScript cannot say "all of them" here.
declare const Overpool: typeof library.Overpool & typeof library
type Overpool = library.Overpool
declare namespace Overpool {
  type AncestorTransaction = library.AncestorTransaction
  type Created = library.Created
  type CreateOptions = library.CreateOptions
  type DataPush = library.DataPush
  type ErrorCode = library.ErrorCode
  type EventsSetting = library.EventsSetting
  type Filter = library.Filter
  type FilterPayment = library.FilterPayment
  type FollowDecision = library.FollowDecision
  type FollowRequest = library.FollowRequest
  type ForwardConfig = library.ForwardConfig
  type InvoiceCalls = library.InvoiceCalls
  type InvoiceOptions = library.InvoiceOptions
  type InvoiceState = library.InvoiceState
  type InvoiceStatus = library.InvoiceStatus
  type Limits = library.Limits
  type MachineError = library.MachineError
  type OnOptions = library.OnOptions
  type OnTx<Values extends object = Record<string, unknown>> = library.OnTx<Values>
  type Overpool = library.Overpool
  type OverpoolConfig = library.OverpoolConfig
  type OverpoolError = library.OverpoolError
  type OverpoolOptions = library.OverpoolOptions
  type PageSettings = library.PageSettings
  type Parsed = library.Parsed
  type Payment = library.Payment
  type PaymentLike = library.PaymentLike
  type PoolConfig = library.PoolConfig
  type Pools = library.Pools
  type PoolSettings = library.PoolSettings
  type Posted = library.Posted
  type PostOptions = library.PostOptions
  type PoolStatus = library.PoolStatus
  type PubOptions = library.PubOptions
  type Quota = library.Quota
  type ReadyOptions = library.ReadyOptions
  type RequestSetting = library.RequestSetting
  type Run = library.Run
  type RunsOptions = library.RunsOptions
  type SubOptions = library.SubOptions
  type SubscriptionConfig = library.SubscriptionConfig
  type NetworkSettings = library.NetworkSettings
  type Terms = library.Terms
  type TermsOutput = library.TermsOutput
  type TransactionLike = library.TransactionLike
  type OnBlock<Values extends object = Record<string, unknown>> = library.OnBlock<Values>
  type InvoicePayment = library.InvoicePayment
  type OnInvoice<Values extends object = Record<string, unknown>> = library.OnInvoice<Values>
  type OnReorg<Values extends object = Record<string, unknown>> = library.OnReorg<Values>
  type OnStatus<Values extends object = Record<string, unknown>> = library.OnStatus<Values>
  type BlockEvent = library.BlockEvent
  type CommitEvent = library.CommitEvent
  type LedgerEvent = library.LedgerEvent
  type InvoiceEvent = library.InvoiceEvent
  type ReorgEvent = library.ReorgEvent
  type StatusEvent = library.StatusEvent
  type Kinds = library.Kinds
  type TxEvent = library.TxEvent
  type HandlerDefinition<Values extends object = Record<string, unknown>> = library.HandlerDefinition<Values>
  type HandlerOptions = library.HandlerOptions
  type HandlerState<Values extends object = Record<string, unknown>> = library.HandlerState<Values>
  type ListOptions = library.ListOptions
  type StateItem<Value = unknown> = library.StateItem<Value>
  type StateOptions = library.StateOptions
  type StateView = library.StateView
  type Broadcast = library.Broadcast
  type Broadcastable = library.Broadcastable
  type BroadcastOptions = library.BroadcastOptions
  type BitcoinSettings = library.BitcoinSettings
  type BroadcastPlace = library.BroadcastPlace
  type ChainPlace = library.ChainPlace
  type CommitPolicy = library.CommitPolicy
  type GridSettings = library.GridSettings
  type NodePlace = library.NodePlace
  type OwnService = library.OwnService
  type SecretPlace = library.SecretPlace
  type FilterConfig = library.FilterConfig
  type Watch = library.Watch
  type StatusName = library.StatusName
  type TxStatus = library.TxStatus
  type WatchOptions = library.WatchOptions
  type Budget = library.Budget
  type Limit = library.Limit
  type PaidFor = library.PaidFor
  type PaidHandler = library.PaidHandler
  type PaidRequest = library.PaidRequest
  type Payee = library.Payee
  type PayingOptions = library.PayingOptions
  type PayingWallet = library.PayingWallet
  type PaywallOf = library.PaywallOf
  type PaywallOptions = library.PaywallOptions
  type Receipt = library.Receipt
}
export = Overpool
