import type * as library from '../dist/index.js' with { 'resolution-mode': 'import' }

// The types of require.cjs: the class itself, with everything else as its properties. The types are listed again, since TypeScript cannot say "all of them" here.
declare const Overpool: typeof library.Overpool & typeof library
type Overpool = library.Overpool
declare namespace Overpool {
  type Created = library.Created
  type CreateOptions = library.CreateOptions
  type DataPush = library.DataPush
  type ErrorCode = library.ErrorCode
  type Filter = library.Filter
  type FilterPayment = library.FilterPayment
  type Limits = library.Limits
  type MachineError = library.MachineError
  type OnOptions = library.OnOptions
  type OnTx = library.OnTx
  type Overpool = library.Overpool
  type OverpoolConfig = library.OverpoolConfig
  type OverpoolError = library.OverpoolError
  type OverpoolOptions = library.OverpoolOptions
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
  type SubOptions = library.SubOptions
  type SubscriptionConfig = library.SubscriptionConfig
  type NetworkSettings = library.NetworkSettings
  type TransactionLike = library.TransactionLike
  type OnBlock = library.OnBlock
  type OnReorg = library.OnReorg
  type OnStatus = library.OnStatus
  type BlockEvent = library.BlockEvent
  type CommitEvent = library.CommitEvent
  type LedgerEvent = library.LedgerEvent
  type ReorgEvent = library.ReorgEvent
  type StatusEvent = library.StatusEvent
  type Kinds = library.Kinds
  type TxEvent = library.TxEvent
}
export = Overpool
