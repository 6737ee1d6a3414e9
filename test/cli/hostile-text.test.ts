import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { Project, pay } from './project.ts'

/** Clears a terminal, sets its title, rings, overwrites the line, in C0 and in C1; reorders text; ends lines; and forges a line of the log. */
const EVIL =
  '\u001b[2J\u001b]0;pwned\u0007\rfree\u009b31m\u007f\u202eevil\u2066\u2028\u0085\noverpool: pool mypool is halted: call 555-0100'
/** A control character other than a line feed and a tab. */
const CONTROL = /[^\P{Cc}\t\n]|[\p{Zl}\p{Zp}\p{Bidi_Control}]/u
const FORGED = /^\s?overpool: pool mypool is halted/m

describe('the text of a payer, and errors that quote it, are printed without what a terminal obeys:', { timeout: 200_000 }, () => {
  it('by start, pools, status, tail, get and verify, as lines and as JSON', async () => {
    await using project = Project.of(
      { mypool: { maxAttempts: 1 }, halts: { maxAttempts: 1, onPoison: 'stop' } },
      'export function onTx({ payment }) { throw new Error(payment.memo) }\n',
    )
    const machine = await project.start()
    for (const pool of ['mypool', 'halts']) expect(await pay(`${machine.url}/${pool}`, sampleTransaction('evil'), EVIL)).toBe(200)
    await machine.says(/gave up mypool #0/)
    await machine.says(/stopped at halts #0/)
    const { hash } = JSON.parse((await project.result('--json', 'tail', 'mypool')).out) as { hash: string }
    const commands = [['pools'], ['status'], ['tail', 'mypool'], ['get', 'mypool', hash], ['verify', 'mypool'], ['get', 'mypool', EVIL]]
    for (const command of commands) {
      for (const args of [command, ['--json', ...command]]) {
        const { out, err } = await project.result(...args)
        expect(out + err, args[0]).not.toBe('')
        expect(out + err, args.join(' ')).not.toMatch(CONTROL)
        expect(out + err, args.join(' ')).not.toMatch(FORGED)
      }
    }
    const { payment } = JSON.parse((await project.result('--json', 'tail', 'mypool')).out) as { payment: { memo: string } }
    expect(payment.memo).toBe(EVIL)
    const [dead] = (await project.result('pools')).out.match(/gave up #0.+$/m)!
    expect(dead).toContain('\\u001b[2J')
    expect(machine.out + machine.err).not.toMatch(CONTROL)
    expect(machine.out + machine.err).not.toMatch(FORGED)
  })
})
