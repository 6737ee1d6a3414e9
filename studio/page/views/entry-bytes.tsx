import { useState } from 'preact/hooks'
import type { BytesPage, EntryShape } from '../../shapes.ts'
import { get } from '../api.ts'
import { bytes, number } from '../format.ts'
import { Copy, Problem, useAsked } from '../ui.tsx'
import type { EntryPart } from './view.ts'

export const bytesPart: EntryPart = { name: 'bytes', title: 'Bytes', has: ({ kind }) => kind === 'tx', Part: Bytes }

/** Bytes of a line, where there is room and where there is not. */
const [WIDE, NARROW] = [16, 8]

function Bytes({ entry: { path, seq } }: { entry: EntryShape }) {
  const [from, setFrom] = useState(0)
  const { value, error } = useAsked((signal) => get<BytesPage>('bytes', { pool: path, seq, from }, signal), `${path} ${seq} ${from}`)
  if (!value) return <Problem error={error} />
  const length = value.hex.length / 2
  const isWhole = value.from === 0 && length === value.size
  return (
    <>
      <div class="tools">
        <span class="soft number">
          {isWhole ? bytes(value.size) : `${number(value.from)} to ${number(value.from + length - 1)} of ${number(value.size)}`}
        </span>
        {!isWhole && (
          <>
            <button type="button" disabled={value.from === 0} onClick={() => setFrom(Math.max(0, from - length))}>
              Before
            </button>
            <button type="button" disabled={value.from + length >= value.size} onClick={() => setFrom(from + length)}>
              Next
            </button>
          </>
        )}
        <Copy what={isWhole ? 'transaction' : 'part'}>{value.hex}</Copy>
      </div>
      <pre class="bytes" tabIndex={0} aria-label="Bytes of the transaction" role="region">
        {dumpOf(value.hex, value.from, innerWidth < 600 ? NARROW : WIDE)}
      </pre>
    </>
  )
}

/** Lines of bytes: where they are, their hex, their characters. */
function dumpOf(hex: string, from: number, line: number): string {
  const lines: string[] = []
  for (let at = 0; at < hex.length; at += 2 * line) {
    const pairs = hex.slice(at, at + 2 * line).match(/../g) ?? []
    const text = pairs.map((pair) => printable(Number.parseInt(pair, 16))).join('')
    lines.push(`${(from + at / 2).toString(16).padStart(6, '0')}  ${pairs.join(' ').padEnd(3 * line - 1)}  ${text}`)
  }
  return lines.join('\n')
}

function printable(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·'
}
