import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { largePayment, payment, TestMachine, until } from '../machine/machine.ts'
import { attacked, REFUSED, repeatedly, status, TAKEN } from './attacked.ts'
import { postBytes, Wire } from './wire.ts'

describe('the door serves others, and stays small, while somebody sends', { timeout: 100_000 }, () => {
  it('the nine bytes that make other parsers allocate until they die', () =>
    attacked(REFUSED, async (machine) => {
      for (let round = 0; round < 20; round++) {
        const answers = await Promise.all(repeatedly(20, () => status(machine, JSON.stringify({ transaction: '01000000feffffffff' }))))
        expect(new Set(answers)).toEqual(new Set([422]))
      }
    }))

  it('ten million brackets, or a million fields', () =>
    attacked(REFUSED, async (machine) => {
      const deep = '['.repeat(10_000_000)
      const form = Array.from({ length: 1_200_000 }, (_, i) => `k${i}`)
        .join('&')
        .slice(0, 10_000_000)
      for (let round = 0; round < 3; round++) {
        expect(await status(machine, deep)).toBe(400)
        expect(await status(machine, `{"transaction":${deep}`)).toBe(422) // a list of bytes, which begins with no byte
        expect(await status(machine, '{"a":'.repeat(2_000_000))).toBe(400)
        expect(await status(machine, form, 'application/x-www-form-urlencoded')).toBe(400)
      }
    }))

  it('a hundred megabytes, with a declared length or in endless chunks', () =>
    attacked(REFUSED, async (machine) => {
      for (let round = 0; round < 3; round++) {
        expect(await status(machine, new Uint8Array(100_000_000).fill(0x20))).toBe(413)
        let left = 100_000_000
        const chunks = new ReadableStream({
          pull(controller) {
            if ((left -= 65_536) > 0) controller.enqueue(new Uint8Array(65_536).fill(0x30))
            else controller.close()
          },
        })
        expect(await status(machine, chunks)).toBe(413)
      }
    }))

  it('large payments one after the other, and reads no answer', () =>
    attacked(TAKEN, async (machine) => {
      const wires: Wire[] = []
      const answers: number[] = []
      for (let n = 0; n < 5; n++) {
        const wire = new Wire(machine.url)
        wires.push(wire)
        wire.socket.once('data', () => wire.socket.pause()) // reads the status, and not the megabytes after it
        wire.say(postBytes('mypool', JSON.stringify({ ...largePayment(4_900_000), memo: `${n}` })))
        await until(
          () => wire.statuses,
          (statuses) => statuses.length === 1,
          60_000,
        )
        answers.push(wire.statuses[0]!)
      }
      // The answers that nobody reads would fill the memory for large messages: the first ones are cut off.
      expect(answers).toEqual([200, 200, 200, 200, 200])
      for (const wire of wires) wire[Symbol.dispose]()
    }))

  // Only Linux has more than one loopback address without configuration.
  const addresses = process.platform === 'linux' ? ['127.0.0.1', '127.0.0.2'] : ['127.0.0.1']
  it.each(addresses)('the beginnings of large payments from %s, and lies still: honest large payments are taken', (address) =>
    attacked(TAKEN, async (machine) => {
      const large = JSON.stringify(largePayment(4_900_000))
      const bytes = postBytes('mypool', large.slice(0, 8_300_000), { 'content-length': String(large.length) })
      const stills = repeatedly(4, () => new Wire(machine.url, address).say(bytes))
      await Promise.all(stills.map(({ socket }) => once(socket, 'drain'))) // more than any socket takes at once
      const answers: number[] = []
      for (let n = 0; n < 20; n++) answers.push(await status(machine, JSON.stringify({ ...largePayment(500_000), memo: `${n}` })))
      expect(new Set(answers)).toEqual(new Set([200]))
      await until(
        () => stills.filter(({ statuses }) => statuses.includes(503)),
        (refused) => refused.length > 0,
      )
      for (const wire of stills) wire[Symbol.dispose]()
    }),
  )

  it('thousands of posts, and reads no answer', () =>
    attacked(TAKEN, async (machine) => {
      const many = repeatedly(1_000, (i) => postBytes('mypool', JSON.stringify(payment(`pipelined ${i}`)))).join('')
      const wires = repeatedly(20, () => new Wire(machine.url))
      for (const wire of wires) {
        wire.socket.pause()
        wire.say(many)
      }
      await until(
        () => machine.call('length', 'mypool'),
        (length) => length >= 1_000,
        60_000,
      )
      for (const wire of wires) wire[Symbol.dispose]()
    }))

  // Only Linux has more than one loopback address without configuration.
  it.runIf(process.platform === 'linux')('nothing on thousands of connections', () =>
    attacked(REFUSED, async (machine) => {
      using neighbour = new Wire(machine.url) // from another address
      const asks = async (times: number) => {
        neighbour.say('GET /_/health HTTP/1.1\r\nhost: localhost\r\n\r\n')
        await until(
          () => neighbour.statuses.length,
          (answers) => answers === times,
        )
      }
      await asks(1)
      const wires: Wire[] = []
      const open = async (count: number, text: string) => {
        while (count > 0) {
          const some = repeatedly(100, () => new Wire(machine.url, '127.0.0.2').say(text))
          await Promise.all(some.map(({ socket }) => once(socket, 'connect')))
          wires.push(...some)
          count -= some.length
        }
      }
      const closed = () => wires.filter((wire) => wire.closed).length
      await open(3_000, '')
      await until(closed, (count) => count >= 1_000)
      // Connections that have sent one request are closed as well.
      await open(3_000, 'GET /_/health HTTP/1.1\r\nhost: localhost\r\n\r\n')
      await until(closed, (count) => count >= 4_000)
      await asks(2)
      for (const wire of wires) wire[Symbol.dispose]()
    }),
  )
})

describe('on one connection', () => {
  it('a thousand posts at once are answered in their order', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    const memos = repeatedly(1_000, (i) => `the ${i}th`)
    using wire = new Wire(machine.url)
    wire.say(memos.map((memo) => postBytes('mypool', JSON.stringify({ ...payment('pipelined'), memo }))).join(''))
    await until(
      () => wire.statuses.length,
      (answers) => answers === memos.length,
    )
    expect(new Set(wire.statuses)).toEqual(new Set([200]))
    expect([...wire.received.matchAll(/"memo":"(the \d+th)"/g)].map(([, memo]) => memo)).toEqual(memos)
  })

  it('a post that breaks off is not taken, and the next one on another connection is', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    const body = JSON.stringify(payment('broken off'))
    for (let length = 1; length < body.length; length += 7) {
      using wire = new Wire(machine.url)
      wire.say(postBytes('mypool', body.slice(0, length), { 'content-length': String(body.length) }))
      wire.socket.end()
      await once(wire.socket, 'close')
    }
    expect((await machine.post('mypool', payment('whole'))).status).toBe(200)
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length > 0,
    )
    expect(await machine.call('length', 'mypool')).toBe(1)
  })
})

/** A request that contains or is followed by a second one, which a proxy before the door may have read as a part of the first. */
const hidden = postBytes('mypool', JSON.stringify(payment('hidden')))
const framed = (headers: string, body: string) =>
  `POST /mypool HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${headers}\r\n${body}`
const SMUGGLED: [what: string, bytes: string][] = [
  ['a length and chunks', framed('content-length: 5\r\ntransfer-encoding: chunked\r\n', `0\r\n\r\n${hidden}`)],
  ['chunks and a length', framed('transfer-encoding: chunked\r\ncontent-length: 5\r\n', `0\r\n\r\n${hidden}`)],
  ['two lengths', framed(`content-length: 0\r\ncontent-length: ${hidden.length}\r\n`, hidden)],
  ['a list of lengths', framed(`content-length: 0, ${hidden.length}\r\n`, hidden)],
  ['a length with a sign', framed('content-length: +0\r\n', hidden)],
  ['a length in hex', framed('content-length: 0x0\r\n', hidden)],
  ['a negative length', framed('content-length: -1\r\n', hidden)],
  ['a length too long for any number', framed(`content-length: ${'9'.repeat(40)}\r\n`, hidden)],
  ['a length behind a space', framed('content-length : 0\r\n', hidden)],
  ['chunks that are not the last coding', framed('transfer-encoding: chunked, identity\r\n', `0\r\n\r\n${hidden}`)],
  ['chunks in an unknown coding', framed('transfer-encoding: xchunked\r\n', `0\r\n\r\n${hidden}`)],
  ['chunks behind a space', framed('transfer-encoding : chunked\r\n', `0\r\n\r\n${hidden}`)],
  ['chunks in a folded line', framed('transfer-encoding:\r\n chunked\r\ncontent-length: 0\r\n', `0\r\n\r\n${hidden}`)],
  ['a chunk whose size is not a number', framed('transfer-encoding: chunked\r\n', `0x0\r\n\r\n${hidden}`)],
  ['a chunk whose size is too large for any number', framed('transfer-encoding: chunked\r\n', `${'f'.repeat(40)}\r\n${hidden}`)],
  ['a chunk longer than its declared size', framed('transfer-encoding: chunked\r\n', `1\r\n{}\r\n0\r\n\r\n${hidden}`)],
  ['a header with a bare line feed', framed('x: y\nz: a\r\ncontent-length: 0\r\n', hidden)],
  ['a header with a zero byte', framed('x: \0\r\ncontent-length: 0\r\n', hidden)],
  ['a name with a space', framed('x y: z\r\ncontent-length: 0\r\n', hidden)],
  ['no Host', hidden.replace('host: localhost\r\n', '')],
  ['another protocol', hidden.replace('HTTP/1.1', 'HTTP/3.7')],
  ['the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${hidden}`],
  ['the beginning of a TLS connection', `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${hidden}`],
  ['headers without end', `POST /mypool HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(70_000)}\r\n\r\n${hidden}`],
]

describe('a request that can be read in two ways', () => {
  let machine: TestMachine
  beforeAll(async () => {
    machine = await TestMachine.start({ mypool: {} }, { idle: true })
  })
  afterAll(() => machine[Symbol.asyncDispose]())

  it.each(SMUGGLED)('is refused, and its connection ended: %s', async (what, bytes) => {
    using wire = new Wire(machine.url)
    wire.say(Buffer.from(bytes, 'latin1'))
    await until(
      () => wire.closed,
      (closed) => closed,
    )
    expect(wire.statuses.filter((status) => status < 400)).toEqual([])
    expect(wire.statuses.length).toBeLessThanOrEqual(1)
    expect((await machine.post('mypool', { ...payment('seen'), memo: what })).status).toBe(200)
    const events = await until(
      () => machine.call('read', { path: 'mypool' }),
      (all) => all.some((event) => event.payment.memo === what),
    )
    expect(new Set(events.map((event) => event.payment.transaction))).toEqual(new Set([payment('seen').transaction]))
  })
})
