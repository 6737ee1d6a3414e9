/**
 * A valid transaction to try a pool with, hex: no inputs (a template that somebody else may fund), one output that carries a text.
 * @param text up to 75 bytes; another text makes another transaction
 */
export function sampleTransaction(text: string): string {
  const data = Buffer.from(text)
  const script = Buffer.concat([Buffer.of(0x00, 0x6a, data.length), data]) // OP_FALSE OP_RETURN, push
  const output = Buffer.concat([Buffer.alloc(8), Buffer.of(script.length), script])
  return Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 1), output, Buffer.alloc(4)]).toString('hex')
}
