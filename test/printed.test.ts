import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { inLine, logged, printable, printed } from '../shared/printed.ts'

/** Every character that a terminal obeys, or that reorders or hides text, or ends a line. */
const DANGEROUS = [
  ...Array.from({ length: 32 }, (_, code) => code).filter((code) => code !== 9 && code !== 10),
  ...Array.from({ length: 33 }, (_, i) => 0x7f + i),
  0x61c,
  0x200e,
  0x200f,
  0x2028,
  0x2029,
  0x202a,
  0x202b,
  0x202c,
  0x202d,
  0x202e,
  0x2066,
  0x2067,
  0x2068,
  0x2069,
  0xfeff,
].map((code) => String.fromCharCode(code))

const texts = fc
  .array(fc.oneof(fc.constantFrom(...DANGEROUS, '\n', '\t', 'overpool: '), fc.string({ unit: 'binary' })))
  .map((all) => all.join(''))

describe('what is printed', () => {
  it.each(DANGEROUS.map((character) => [JSON.stringify(character), character]))('shows %s as its escape', (_, character) => {
    const shown = `a${`\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`}b`
    for (const print of [printed, inLine]) expect(print(`a${character}b`)).toBe(shown)
  })

  it('keeps all other text, also of other scripts and emoji of several characters', () => {
    const text = 'tea ☕, שלום, مرحبا, 日本語, 👩‍👩‍👧, é\ta'
    for (const print of [printed, inLine]) expect(print(text)).toBe(text)
  })

  it('has no such character, whatever the text; a part of a line has no line feed', () => {
    fc.assert(
      fc.property(texts, (text) => {
        for (const character of DANGEROUS) expect(printed(text) + inLine(text)).not.toContain(character)
        expect(inLine(text)).not.toContain('\n')
      }),
    )
  })

  it('is JSON with the same values, if it was JSON', () => {
    fc.assert(
      fc.property(fc.dictionary(texts, texts), (value) => {
        expect(JSON.parse(printed(JSON.stringify(value)))).toEqual(value)
      }),
    )
    expect(JSON.parse(JSON.stringify({ a: ['\u009b'] }, printable))).toEqual({ a: ['\\u009b'] })
  })

  it('is also what a function on AWS logs', async () => {
    const program = `
      import { Telemetry } from ${JSON.stringify(new URL('../functions/telemetry.ts', import.meta.url).href)}
      new Telemetry({ namespace: 'Overpool', service: 'payments' }).log.error('failed\u009b', new Error('\u202e\u007f' + 'x'.repeat(50_000)))`
    const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
    const line = stderr.split('\n').find((text) => text.startsWith('{'))!
    for (const character of DANGEROUS) expect(line).not.toContain(character)
    expect(line.length).toBeLessThan(25_000)
    const { message, error } = JSON.parse(line) as { message: string; error: { message: string } }
    expect([message, error.message.slice(0, 13)]).toEqual(['failed\\u009b', '\\u202e\\u007fx'])
  })

  it('is cut in a structured log', () => {
    expect(printable('', 'x'.repeat(10_001))).toBe(`${'x'.repeat(10_000)}… (1 characters more)`)
    expect(printable('', 10_001)).toBe(10_001)
  })

  it('has one line of a log that looks like one', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const [, ...further] = logged(text).split('\n')
        expect(further.filter((line) => line.startsWith('overpool:'))).toEqual([])
      }),
    )
    expect(logged('a\n    at b\noverpool: c')).toBe('overpool: a\n    at b\n    overpool: c')
  })
})
