import type { ProtoWallet, WalletInterface } from '@bsv/sdk'
import { expectTypeOf, it } from 'vitest'
import type { Payee, PayingWallet } from '../../index.ts'

it('wallets of @bsv/sdk have the types that are asked of them', () => {
  expectTypeOf<WalletInterface>().toExtend<Payee>()
  expectTypeOf<ProtoWallet>().toExtend<Payee>()
  expectTypeOf<WalletInterface>().toExtend<PayingWallet>()
})
