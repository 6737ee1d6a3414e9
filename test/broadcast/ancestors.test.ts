import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Overpool } from '../../index.ts'
import { extendedFormat, scanTransaction } from '../../shared/transaction/index.ts'
import { beef, field, spending, threeSteps, txidOf, V1 } from '../formats/made.ts'
import { type Recorded, recordedServer } from './recorded.ts'

// What wallets send along with their payments reaches the services, over a machine and a service on loopback.

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'overpool-along-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

/** A machine with a pool whose payments are broadcast, and what its service of ARC was sent. */
async function broadcasting(answer: (rawTx: string) => { status: number; body: object }) {
  const sent = ({ body }: Recorded) => (JSON.parse(body.toString()) as { rawTx: string }).rawTx
  const { url, requests } = await recordedServer((request) =>
    request.method === 'POST' ? answer(sent(request)) : { status: 404, body: { status: 404 } },
  )
  const machine = new Overpool({ dir, bitcoin: { network: 'main', broadcast: [{ arc: url }] } })
  machine.on('error', () => {})
  await machine.create({ path: 'shop', port: false, commit: 'always' })
  return { machine, sent: () => requests.filter(({ method }) => method === 'POST').map(sent) }
}

const taken = (txid: string) => ({ status: 200, body: { txid, txStatus: 'SEEN_ON_NETWORK' } })
const status = async (machine: Overpool, hash: string) => (await machine.get({ path: 'shop', hash })).status

describe('what comes along with a payment', () => {
  it('of BEEF makes the extended format for the services', async () => {
    const { mined, parent, subject, bump, members } = threeSteps()
    const { machine, sent } = await broadcasting(() => taken(txidOf(subject)))
    await using _ = machine
    await machine.post({ path: 'shop', payment: beef(V1, [bump], members) })
    await expect.poll(() => status(machine, txidOf(subject))).toBe('seen')
    const spent = [parent, mined].map((tx) => [...scanTransaction(tx).readOutputs()][0]!)
    expect(sent()).toEqual([Buffer.from(extendedFormat(subject, spent)).toString('hex')])
  })

  it('of the extended format is handed on', async () => {
    const extended = field('06-sdk-ef.hex').toString('hex')
    const { machine, sent } = await broadcasting(() => taken(txidOf(field('06-sdk-raw.hex'))))
    await using _ = machine
    await machine.post({ path: 'shop', payment: extended })
    await expect.poll(() => status(machine, txidOf(field('06-sdk-raw.hex')))).toBe('seen')
    expect(sent()).toEqual([extended])
  })

  it('of the extended format is nobody’s proof: what is refused with it is sent without it', async () => {
    const raw = field('06-sdk-raw.hex')
    const forged = extendedFormat(raw, [{ satoshis: 1n, script: Buffer.of(0x6a) }])
    const { machine, sent } = await broadcasting((rawTx) =>
      rawTx === raw.toString('hex') ? taken(txidOf(raw)) : { status: 461, body: { status: 461, title: 'Malformed', txid: txidOf(raw) } },
    )
    await using _ = machine
    await machine.post({ path: 'shop', payment: forged })
    await expect.poll(() => status(machine, txidOf(raw))).toBe('seen')
    expect(sent()).toEqual([Buffer.from(forged).toString('hex'), raw.toString('hex')])
  })

  it('is kept for a transaction that is broadcast without an entry, too', async () => {
    const [parent, later] = [spending([], 'parent'), (tx: Buffer) => spending([tx], 'child')]
    const child = later(parent)
    const { machine, sent } = await broadcasting(() => taken(txidOf(child)))
    await using _ = machine
    await machine.broadcast(beef(V1, [], [{ tx: parent }, { tx: child }]), { path: 'shop' })
    await expect.poll(sent).toEqual([Buffer.from(extendedFormat(child, [...scanTransaction(parent).readOutputs()])).toString('hex')])
  })
})
