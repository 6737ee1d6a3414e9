import { expect, it } from 'vitest'
import { systemClock } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { discoveryKeyOf } from '../../shared/ledger/discovery-key.ts'
import type { Control } from '../../shared/store/control.ts'
import { Subscription } from '../../sidecar/peers/subscription.ts'
import { tempLedger } from './ledger.ts'

it('a subscription that halts writes so into the mirror before it stops, also when the mirror was unreachable at first', async () => {
  await using ledger = await tempLedger()
  const { stores, cores } = ledger
  const key = 'ab'.repeat(32)
  const pool = await stores.control.create({ kind: 'peer', path: key, key, discoveryKey: discoveryKeyOf(key), createdAt: 0 })
  let failures = 0
  const control: Control = {
    create: (pool) => stores.control.create(pool),
    read: (path) => stores.control.read(path),
    list: () => stores.control.list(),
    update: async (path, patch) => {
      if (failures++ < 2) throw new OverpoolError('UNAVAILABLE', 'not now')
      await stores.control.update(path, patch)
    },
    beginAnew: (path, last) => stores.control.beginAnew(path, last),
  }
  let alarm = (_what: string): void => {}
  const tried = Promise.withResolvers<void>()
  const subscription = await Subscription.open({
    pool,
    stores: { ...stores, control },
    cores: {
      openPeer(path, secret, events) {
        alarm = events.alarm
        return cores.openPeer(path, secret, events)
      },
    },
    ringers: () => [],
    clock: systemClock,
    report: () => failures === 2 && tried.resolve(),
  })
  alarm('conflict')
  await tried.promise
  await subscription.stop()
  expect((await stores.control.read(key))!.halted).toBe('conflict')
})
