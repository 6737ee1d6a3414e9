// The part of the package datapay that the original's demos use: it makes a transaction without inputs that carries data. The result is like bsv 1's Transaction.
exports.build = ({ data }, callback) => {
  const pushes = data.map((text) => Buffer.concat([push(Buffer.byteLength(text)), Buffer.from(text)]))
  const script = Buffer.concat([Buffer.of(0x00, 0x6a), ...pushes])
  const output = Buffer.concat([Buffer.alloc(8), varint(script.length), script])
  const bytes = Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 1), output, Buffer.alloc(4)])
  setImmediate(callback, null, { toBuffer: () => bytes, toString: () => bytes.toString('hex'), toJSON: () => ({}) })
}

const push = (length) => (length < 0x4c ? Buffer.of(length) : Buffer.of(0x4c, length))
const varint = (n) => (n < 0xfd ? Buffer.of(n) : Buffer.of(0xfd, n & 0xff, n >> 8))
