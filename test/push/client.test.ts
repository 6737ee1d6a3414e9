import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FollowError, type FollowedEvent, followPool } from '../../client/follow.ts'
import { Overpool } from '../../index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { REPOSITORY } from '../cli/project.ts'

describe('followPool', () => {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-push-'))
  let machine: Overpool
  let url: string
  beforeAll(async () => {
    machine = new Overpool({ dir })
    url = (await machine.create({ path: 'mypool', port: 0, events: ({ header }) => header('authorization') !== 'nobody' })).url!
    for (const text of ['a', 'b', 'c']) await machine.post({ path: 'mypool', payment: sampleTransaction(text) })
  })
  afterAll(async () => {
    await machine.close()
    rmSync(dir, { recursive: true })
  })

  it('is at most 2 KB of minified code for a browser, and needs nothing else', async () => {
    const { outputFiles } = await build({
      entryPoints: [join(REPOSITORY, 'client/follow.ts')],
      bundle: true,
      minify: true,
      write: false,
      format: 'esm',
      target: 'es2022',
      platform: 'browser',
      tsconfigRaw: {},
    })
    expect(outputFiles[0]!.contents.length).toBeLessThanOrEqual(2_048)
    expect(outputFiles[0]!.text).not.toMatch(/\bimport\b|require\(/)
  })

  it('gives events one after the other, from where the program was, until it is left', async () => {
    const seen: number[] = []
    for await (const event of followPool(url, { after: 0 })) {
      // The types say that a large event has no payment.
      if (!event.large) seen.push(event.seq, event.payment.transaction.length)
      if (event.seq === 2) break
    }
    expect(seen.filter((_, i) => i % 2 === 0)).toEqual([1, 2])
  })

  it('calls a function, waits for it, and ends with the signal', async () => {
    const gone = new AbortController()
    let busy = 0
    let most = 0
    const seen: FollowedEvent<'tx' | 'status'>[] = []
    await followPool(url, {
      after: -1,
      kinds: ['tx', 'status'],
      signal: gone.signal,
      async onEvent(event) {
        most = Math.max(most, ++busy)
        await new Promise((resolve) => setTimeout(resolve, 20))
        busy--
        if (seen.push(event) === 3) gone.abort()
      },
    })
    expect([seen.map(({ seq }) => seq), most]).toEqual([[0, 1, 2], 1])
    await followPool(url, { onEvent: () => expect.unreachable(), signal: AbortSignal.abort() })
  })

  it.each([
    ['that is not there', 'nopool', {}, 404, 'POOL_NOT_FOUND'],
    ['that does not let it follow', 'mypool', { headers: { authorization: 'nobody' } }, 403, 'FOLLOWING_REFUSED'],
    ['that is shorter than what it has', 'mypool', { after: 99 }, 400, 'BAD_REQUEST'],
  ])('fails at once at a pool %s', async (_, path, options, status, code) => {
    const failed = followPool(url.replace('mypool', path), options).next()
    await expect(failed).rejects.toThrow(expect.objectContaining({ name: 'FollowError', status, code }))
    await expect(failed).rejects.toThrow(FollowError)
  })

  it('passes on what the function throws, and is over', async () => {
    const failed = followPool(url, {
      after: -1,
      onEvent() {
        throw new Error('of the program')
      },
    })
    await expect(failed).rejects.toThrow('of the program')
  })
})

/** A server that answers the n-th request as the n-th of these. */
async function serverOf(answers: ((request: IncomingMessage, response: ServerResponse) => void)[]) {
  const asked: { url: string; at: number }[] = []
  const server = createServer((request, response) => {
    asked.push({ url: request.url!, at: performance.now() })
    const answer = answers[Math.min(asked.length, answers.length) - 1]!
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mypool`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const stream = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream' })
const event = (seq: number) => `id: ${seq}\ndata: {"seq":${seq},"text":"☕ ${seq}"}\n\n`

describe('followPool, where the network or the machine is bad,', () => {
  it('goes on after cuts in the middle of an event and of a letter, and leaves out what comes twice', async () => {
    const bytes = Buffer.from(event(1))
    const cut = bytes.indexOf(Buffer.from('☕')) + 1
    await using server = await serverOf([
      (_, response) => {
        stream(response).write(Buffer.concat([Buffer.from(`retry: 1000\nid: -1\n\n${event(0)}`), bytes.subarray(0, cut)]))
        setTimeout(() => response.destroy(), 50)
      },
      (_, response) => {
        stream(response).write(`id: 0\n\n${event(0)}`)
        response.write(bytes.subarray(0, cut))
        setTimeout(() => response.end(bytes.subarray(cut)), 50)
      },
      (_, response) => stream(response).write(`id: 1\n\nid: 7\n\n${event(8)}`),
    ])
    const seen: object[] = []
    for await (const each of followPool(server.url, { after: -1, kinds: ['tx', 'status'], txid: 'ab'.repeat(32) }))
      if (seen.push(each) === 3) break
    expect(seen).toEqual([0, 1, 8].map((seq) => ({ seq, text: `☕ ${seq}` })))
    const query = `kinds=tx%2Cstatus&txid=${'ab'.repeat(32)}`
    expect(server.asked.map(({ url }) => url)).toEqual([-1, 0, 1].map((after) => `/mypool/events?${query}&after=${after}`))
  })

  it('waits longer and longer, as long as the machine asks, and tells a page of a proxy from a machine', async () => {
    const status =
      (code: number, headers = {}) =>
      (_: IncomingMessage, response: ServerResponse) =>
        response.writeHead(code, headers).end('<html>')
    await using server = await serverOf([
      status(502),
      status(503),
      status(429, { 'retry-after': '2' }),
      (_, response) => stream(response).end(event(4)),
      status(200, { 'content-type': 'text/html' }),
    ])
    const events = followPool(server.url)
    expect((await events.next()).value).toMatchObject({ seq: 4 })
    const [first, second, third, fourth] = server.asked.map(({ at }) => at)
    expect(second! - first!).toBeGreaterThan(200)
    expect(third! - second!).toBeGreaterThan(450)
    expect(fourth! - third!).toBeGreaterThan(1_950)
    await expect(events.next()).rejects.toThrow(expect.objectContaining({ name: 'FollowError', status: 200 }))
    expect(server.asked.map(({ url }) => url.split('?')[1] ?? '')).toEqual(['', '', '', '', 'after=4'])
  })
})
