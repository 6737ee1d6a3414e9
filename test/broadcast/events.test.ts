import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EventScanner, type Frame } from '../../shared/broadcast/events.ts'

const scan = (...parts: string[]): Frame[] => {
  const scanner = new EventScanner()
  return parts.flatMap((part) => scanner.push(part))
}

describe('server-sent events', () => {
  it('are the same however the text is cut', () => {
    const piece = fc.constantFrom('\r', '\n', '\r\n', ':', ' ', 'id', 'event', 'data', 'id: 7', 'event: gap', 'data: {}', 'ü')
    const text = fc.array(piece, { maxLength: 40 })
    fc.assert(
      fc.property(text, (pieces) => {
        const whole = scan(pieces.join(''))
        expect(scan(...pieces)).toEqual(whole)
        expect(scan(...Array.from(pieces.join('')))).toEqual(whole)
      }),
    )
  })

  it('have lines, fields and an id that stays, as HTML says', () => {
    expect(scan('id: 1\ndata: a\ndata:b\n\ndata:  c\n\n')).toEqual([
      { id: '1', type: 'message', data: 'a\nb' },
      { id: '1', type: 'message', data: ' c' },
    ])
    expect(scan('event: gap\r\n\r\n: comment\rdata\r\r')).toEqual([{ type: 'message', data: '' }])
    expect(scan('data: not ended')).toEqual([])
  })

  it('never have an id that no header can carry', () => {
    expect(scan('id: 1\nid: ü\nid: \u0000\ndata: a\n\n')).toEqual([{ id: '1', type: 'message', data: 'a' }])
  })

  it('are dropped when they are too long, in one line or in many', () => {
    const long = 'x'.repeat(600 * 1024)
    expect(scan(`data: ${long}${long}\n\ndata: a\n\n`)).toEqual([{ tooLong: true }, { type: 'message', data: 'a' }])
    expect(scan(`id: 3\ndata: ${long}\n`, `data: ${long}\n\n`, 'data: a\n\n')).toEqual([
      { id: '3', tooLong: true },
      { id: '3', type: 'message', data: 'a' },
    ])
  })
})
