import type { EntryShape, InputShape, OutputShape, ScriptPart } from '../../shapes.ts'
import { bytes, count, number } from '../format.ts'
import { linkTo } from '../router.ts'
import { Copy, Empty, Hash, Text } from '../ui.tsx'
import type { EntryPart } from './view.ts'

export const scriptsPart: EntryPart = {
  name: 'outputs',
  title: 'Outputs & scripts',
  has: ({ outputs }) => outputs !== undefined,
  Part: Scripts,
}

function Scripts({ entry }: { entry: EntryShape }) {
  const { inputs = [], outputs = [], inputCount = 0, outputCount = 0 } = entry
  return (
    <>
      <h2>{count(outputCount, 'output')}</h2>
      <ol class="puts" start={0}>
        {outputs.map((output, i) => (
          <Output key={i} output={output} i={i} />
        ))}
      </ol>
      {outputs.length < outputCount && <Empty>The first {number(outputs.length)} are shown.</Empty>}
      <h2>{count(inputCount, 'input')}</h2>
      {inputCount === 0 && <Empty>It spends nothing: it is a template that somebody else may fund.</Empty>}
      <ol class="puts" start={0}>
        {inputs.map((input, i) => (
          <Input key={i} input={input} i={i} />
        ))}
      </ol>
      {inputs.length < inputCount && <Empty>The first {number(inputs.length)} are shown.</Empty>}
    </>
  )
}

function Output({ output: { satoshis, address, bytes: size, script }, i }: { output: OutputShape; i: number }) {
  return (
    <li>
      <p class="put">
        <span class="number soft">{i}</span>
        <b class="number">{number(satoshis)} sat</b>
        {address !== undefined && <Address>{address}</Address>}
        <span class="soft">{bytes(size)}</span>
      </p>
      <Script parts={script} />
    </li>
  )
}

function Input({ input: { txid, vout, address, script, sequence }, i }: { input: InputShape; i: number }) {
  return (
    <li>
      <p class="put">
        <span class="number soft">{i}</span>
        <span class="number">
          <Hash to={linkTo('find', txid)}>{txid}</Hash>:{vout}
        </span>
        {address !== undefined && <Address>{address}</Address>}
        {sequence !== 0xffffffff && <span class="soft">sequence {number(sequence)}</span>}
      </p>
      <Script parts={script} />
    </li>
  )
}

function Address({ children }: { children: string }) {
  return (
    <span class="hash">
      <code>{children}</code>
      <Copy what="address">{children}</Copy>
    </span>
  )
}

function Script({ parts }: { parts: ScriptPart[] }) {
  if (!parts.length) return null
  return (
    <p class="script">
      {parts.map((part, i) => (
        <Part key={i} part={part} />
      ))}
    </p>
  )
}

function Part({ part: { op, hex = '', bytes: size = 0, text, cut } }: { part: ScriptPart }) {
  if (cut !== undefined) return <span class="soft">… {number(cut)} more</span>
  if (op !== undefined) return <span class="op">{op}</span>
  if (text !== undefined)
    return (
      <span class="text" title={`${bytes(size)}: ${hex}`}>
        <Text lines>{text}</Text>
      </span>
    )
  return (
    <span class="push" title={bytes(size)}>
      {hex || 'empty'}
      {2 * size > hex.length && `… (${bytes(size)})`}
    </span>
  )
}
