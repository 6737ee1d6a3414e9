import { expect, it } from 'vitest'
import { largePayment, until } from '../machine/machine.ts'
import { attacked, repeatedly, status, TAKEN } from './attacked.ts'
import { postBytes, Wire } from './wire.ts'

/** A request has 60 s, and the door looks for late ones every 2 s. The rest is for a busy machine, ms. */
const CUT_OFF = 100_000

it(
  'the door serves others, and stays small, while somebody sends headers, bodies or large payments byte by byte',
  { timeout: 2 * CUT_OFF },
  () =>
    attacked(TAKEN, async (machine) => {
      const begun = performance.now()
      const bodies = repeatedly(200, () => new Wire(machine.url).say(postBytes('mypool', '{', { 'content-length': '1000' })))
      const heads = repeatedly(200, () => new Wire(machine.url).say('POST /mypool HTTP/1.1\r\nhost: localhost\r\n'))
      // Large payments fill the memory for large messages until the door cuts them off.
      const large = JSON.stringify(largePayment(4_900_000))
      const hoarders = repeatedly(10, () =>
        new Wire(machine.url).say(postBytes('mypool', large.slice(0, -1), { 'content-length': String(large.length) })),
      )
      const drops = setInterval(() => {
        for (const wire of heads) wire.say('x-drop: 1\r\n')
        for (const wire of bodies) wire.say(' ')
      }, 500)
      try {
        await until(
          () => heads.filter(({ closed }) => closed).length,
          (closed) => closed === heads.length,
          CUT_OFF,
        )
        expect(performance.now() - begun, 'the door cuts headers off after 10 s').toBeLessThan(50_000)
        expect(hoarders.some(({ statuses }) => statuses.includes(503))).toBe(true)
        expect([200, 503]).toContain(await status(machine, large))
        await until(
          () => [...bodies, ...hoarders].filter(({ closed }) => closed).length,
          (closed) => closed === bodies.length + hoarders.length,
          CUT_OFF,
        )
        expect(await status(machine, large)).toBe(200)
      } finally {
        clearInterval(drops)
        for (const wire of [...heads, ...bodies, ...hoarders]) wire[Symbol.dispose]()
      }
    }),
)
