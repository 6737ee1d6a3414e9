import { expect, it } from 'vitest'
import { systemClock } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { Mirror } from '../../shared/store/port.ts'
import { discoveryKeyOf } from '../../sidecar/cores/core.ts'
import { Subscription } from '../../sidecar/peers/subscription.ts'
import { tempLedger } from './ledger.ts'

it('a subscription that halts says so in the mirror before it has stopped, though the mirror was away', async () => {
  await using ledger = await tempLedger()
  const { mirror, cores } = ledger
  const key = 'ab'.repeat(32)
  const pool = await mirror.createPool({ path: key, key, discoveryKey: discoveryKeyOf(key), createdAt: 0 })
  let failures = 0
  const faltering: Mirror = new Proxy<Mirror>(mirror, {
    get(_, name) {
      if (name === 'updatePool' && failures++ < 2) return () => Promise.reject(new OverpoolError('UNAVAILABLE', 'not now'))
      const method = Reflect.get(mirror, name)
      return typeof method === 'function' ? method.bind(mirror) : method
    },
  })
  let alarm = (_what: string): void => {}
  const tried = Promise.withResolvers<void>()
  const subscription = await Subscription.open({
    pool,
    mirror: faltering,
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
  expect((await mirror.readPool(key))!.halted).toBe('conflict')
})
