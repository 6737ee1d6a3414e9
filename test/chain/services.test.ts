import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Hash, Transaction, Utils } from '@bsv/sdk'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ChainFilter, type FilterConfig } from '../../shared/chain/filter.ts'
import { readHeader } from '../../shared/chain/header.ts'
import { scanBump, scanTsc } from '../../shared/chain/merkle.ts'
import { ServicesSource, type ServicesSourceOptions } from '../../sidecar/chain/services.ts'
import type { Proven } from '../../sidecar/chain/source.ts'
import { HEADERS, REGTEST } from './blocks.ts'

// The services are not reached: a server here gives answers in the shapes that they have. The block, its transactions and their proofs are those of a real node.

/** What is answered, by path with its query: JSON, text or bytes. Whatever is not here is 404. */
const answers = new Map<string, unknown>()
const asked: { path: string; headers: Record<string, unknown> }[] = []
let server: Server
let url: string

const BLOCK = Buffer.from(REGTEST.block, 'hex')
const HEADER = BLOCK.subarray(0, 80)
const PLACE = { height: REGTEST.height, hash: REGTEST.hash }
const TXS = transactionsOf(BLOCK)
/** The first transaction after the coinbase pays to this address, the second spends this output, the third pays to this script. */
const ADDRESS = Utils.toBase58Check(Utils.toArray('28d48c754adbdd5c3095572feab0380de1c1b956', 'hex'), [0x6f])
const SPENT = { txid: '6942e93472e92f36e96597c2fa4811da5b69c0ff6337d8bfbedc8b5b647daae6', vout: 0 }
const SCRIPT = '76a914c0e2456e4c9460b691b001874c8163f49170b77288ac'
const SCRIPT_HASH = Utils.toHex(Hash.sha256(Utils.toArray(SCRIPT, 'hex')).reverse())

beforeAll(async () => {
  server = createServer(({ url: path, headers }, response) => {
    asked.push({ path: path!, headers })
    const answer = answers.get(path!)
    if (typeof answer === 'number') response.writeHead(answer, { 'retry-after': '7' }).end()
    else if (answer === undefined) response.writeHead(404).end('Not Found')
    else response.end(answer instanceof Uint8Array || typeof answer === 'string' ? answer : JSON.stringify(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

beforeEach(() => {
  answers.clear()
  asked.length = 0
  // chaintracks
  answers.set('/chaintracks/v2/tip', { ...fieldsOf(HEADER), ...PLACE })
  answers.set(`/chaintracks/v2/header/hash/${PLACE.hash}`, { ...fieldsOf(HEADER), ...PLACE })
  answers.set(`/chaintracks/v2/headers?height=${PLACE.height}&count=1`, HEADER)
  answers.set('/chaintracks/v2/headers?height=0&count=5', Buffer.concat(HEADERS.slice(0, 5)))
  // WhatsOnChain
  answers.set('/woc/chain/info', { chain: 'test', blocks: PLACE.height, headers: PLACE.height, bestblockhash: PLACE.hash, pruned: false })
  answers.set(`/woc/block/${PLACE.hash}/header`, { ...PLACE, ...wocOf(HEADER), confirmations: 1 })
  answers.set(`/woc/block/${PLACE.height}/header`, { ...PLACE, ...wocOf(HEADER), confirmations: 1 })
  for (const [height, header] of HEADERS.entries())
    answers.set(`/woc/block/${height}/header`, { hash: readHeader(header).hash, height, ...wocOf(header) })
  for (const [i, txid] of REGTEST.txids.entries()) {
    const { index, txOrId, target, nodes } = REGTEST.proofs[i]!
    answers.set(`/woc/tx/${txid}/proof/tsc`, [{ index, txOrId, target, nodes }])
    answers.set(`/woc/tx/${txid}/hex`, TXS[i]!.toString('hex'))
    // JungleBus
    answers.set(`/v1/transaction/get/${txid}/bin`, TXS[i])
    answers.set(`/v1/transaction/get/${txid}`, { id: txid, block_hash: PLACE.hash, block_height: PLACE.height, block_index: index })
  }
  answers.set(`/v1/block_header/get/${PLACE.hash}`, { hash: PLACE.hash, height: PLACE.height, time: 1, nonce: 0, version: 1, synced: 5 })
})

function sourceOf(options: Partial<ServicesSourceOptions> = {}): ServicesSource {
  return new ServicesSource({
    network: 'test',
    chaintracks: `${url}/chaintracks/v2/`,
    junglebus: url,
    whatsonchain: `${url}/woc`,
    ...options,
  })
}

describe('services as the source of the chain', () => {
  it.each([
    ['chaintracks', {}],
    ['WhatsOnChain', { chaintracks: undefined }],
  ])('gives headers from %s', async (_, options) => {
    const source = sourceOf(options)
    expect(await source.tip()).toEqual(PLACE)
    expect(await source.headers(0, 5)).toEqual(HEADERS.slice(0, 5).map((header, height) => ({ height, header: Buffer.from(header) })))
    expect(await source.headerOf('00'.repeat(32))).toBeUndefined()
    expect(await source.headerOf(PLACE.hash)).toEqual({ height: PLACE.height, header: Buffer.from(HEADER) })
  })

  it('takes an answer of chaintracks in its wrapping', async () => {
    answers.set('/chaintracks/v2/tip', { status: 'success', value: { ...fieldsOf(HEADER), ...PLACE } })
    expect(await sourceOf().tip()).toEqual(PLACE)
  })

  it('refuses headers that are none, or do not follow on one another', async () => {
    answers.set('/chaintracks/v2/headers?height=0&count=5', Buffer.concat([HEADERS[0]!, HEADERS[2]!]))
    await expect(sourceOf().headers(0, 5)).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    answers.set('/chaintracks/v2/headers?height=0&count=5', Buffer.alloc(80))
    await expect(sourceOf().headers(0, 5)).rejects.toMatchObject({ code: 'BAD_HEADER' })
    answers.set('/chaintracks/v2/headers?height=0&count=5', Buffer.alloc(81))
    await expect(sourceOf().headers(0, 5)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('finds the transactions of a block by address, script and outpoint, in their order, each with a proof that leads to its header', async () => {
    const [, byAddress, byOutpoint, byScript] = REGTEST.txids
    const other = { transaction_id: REGTEST.txids[0], block_hash: '11'.repeat(32), block_height: PLACE.height + 1, block_index: 0 }
    answers.set(`/v1/address/get/${ADDRESS}/${PLACE.height}`, [other, { ...other, transaction_id: byAddress, block_hash: PLACE.hash }])
    answers.set(`/v1/txo/spend/${SPENT.txid}_0`, Buffer.from(byOutpoint!, 'hex'))
    answers.set(`/v1/txo/spend/${SPENT.txid}_7`, Buffer.alloc(0)) // it is not spent
    const history = `/woc/script/${SCRIPT_HASH}/confirmed/history?order=asc&limit=1000&height=${PLACE.height}`
    answers.set(history, { script: SCRIPT_HASH, result: [], nextPageToken: 'a b', error: '' })
    answers.set(`${history}&token=a%20b`, {
      result: [
        { tx_hash: byScript, height: PLACE.height },
        { tx_hash: byAddress, height: PLACE.height + 1 },
      ],
    })
    const found = await matching({ addresses: [ADDRESS], scripts: [SCRIPT], outpoints: [SPENT, `${SPENT.txid}:7`] })
    expect(found.map(({ index }) => index)).toEqual([1, 2, 3])
    for (const { tx, index, proof } of found) {
      expect(Buffer.from(tx)).toEqual(TXS[index])
      expect(scanBump(proof).root(REGTEST.txids[index]!)).toBe(readHeader(HEADER).merkleRoot)
      expect(scanBump(proof).blockHeight).toBe(PLACE.height)
    }
  })

  it('leaves out what a service names and the filter does not match', async () => {
    answers.set(`/v1/address/get/${ADDRESS}/${PLACE.height}`, [{ transaction_id: REGTEST.txids[1], block_hash: PLACE.hash }])
    expect(await matching({ addresses: [ADDRESS] })).toHaveLength(1)
    answers.set(`/v1/address/get/${ADDRESS}/${PLACE.height}`, [{ transaction_id: REGTEST.txids[0], block_hash: PLACE.hash }])
    expect(await matching({ addresses: [ADDRESS] })).toEqual([])
  })

  it('refuses a filter that looks into every transaction', async () => {
    for (const filter of [{ prefixes: ['a'] }, { match: () => true }])
      await expect(matching(filter)).rejects.toMatchObject({ code: 'BAD_CONFIG', message: expect.stringContaining('a node or a folder') })
  })

  it('waits for a service that has not read the block yet', async () => {
    answers.delete(`/v1/block_header/get/${PLACE.hash}`)
    const names = expect.stringContaining('junglebus')
    await expect(matching({ addresses: [ADDRESS] })).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true, message: names })
  })

  it('takes the transaction and the proof from the other service where the first one lacks or forges them', async () => {
    const [, txid, forged] = REGTEST.txids
    answers.set(`/v1/address/get/${ADDRESS}/${PLACE.height}`, [{ transaction_id: txid, block_hash: PLACE.hash }])
    answers.set(`/v1/transaction/get/${txid}/bin`, Buffer.alloc(0)) // JungleBus gives large transactions so
    const { nodes, ...proof } = REGTEST.proofs[1]!
    answers.set(`/woc/tx/${txid}/proof/tsc`, [{ ...proof, nodes: [forged, ...nodes.slice(1)] }])
    await expect(matching({ addresses: [ADDRESS] })).rejects.toMatchObject({ code: 'BAD_PROOF' })
    answers.set(`/v1/transaction/proof/${txid}/bin`, scanTsc(REGTEST.proofs[1]).bump(PLACE.height))
    const [found] = await matching({ addresses: [ADDRESS] })
    expect(found!.index).toBe(1)
    expect(Buffer.from(found!.tx)).toEqual(TXS[1])
  })

  it('gives a transaction, and refuses another one in its place', async () => {
    const [, txid, other] = REGTEST.txids
    expect(Buffer.from((await sourceOf().transaction(txid!))!)).toEqual(TXS[1])
    expect(await sourceOf().transaction('33'.repeat(32))).toBeUndefined()
    answers.set(`/v1/transaction/get/${other}/bin`, TXS[1])
    await expect(sourceOf().transaction(other!)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('says when a service wants to be asked again, and shows a key to its own service alone', async () => {
    const keys = { junglebus: 'key-of-junglebus', whatsonchain: 'key-of-whatsonchain' }
    const source = sourceOf({ keys })
    answers.set('/chaintracks/v2/tip', 429)
    const error = await source.tip().catch((error) => error)
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, retryAfterS: 7 })
    answers.delete(`/v1/transaction/get/${REGTEST.txids[1]}/bin`)
    await source.transaction(REGTEST.txids[1]!)
    expect(asked.map(({ path, headers }) => [path.split('/')[1], headers.token, headers['woc-api-key']])).toEqual([
      ['chaintracks', undefined, undefined],
      ['v1', keys.junglebus, undefined],
      ['woc', undefined, keys.whatsonchain],
    ])
    for (const key of Object.values(keys)) expect(`${source.name} ${error.stack}`).not.toContain(key)
  })

  it('calls back when the tip has changed', async () => {
    const source = sourceOf({ pollMs: 5 })
    let wake = () => {}
    const called = () =>
      new Promise<void>((resolve) => {
        wake = resolve
      })
    const first = called()
    source.watch(() => wake(), new AbortController().signal)
    await first
    const second = called()
    answers.set('/chaintracks/v2/tip', { ...PLACE, hash: '44'.repeat(32) })
    await second
    await source.close()
    await expect(source.tip()).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

async function matching(wanted: FilterConfig): Promise<Proven[]> {
  const found: Proven[] = []
  for await (const one of sourceOf().matching(PLACE, new ChainFilter(wanted), wanted)) found.push(one)
  return found
}

/** Read by @bsv/sdk. */
function transactionsOf(block: Buffer): Buffer[] {
  const reader = new Utils.Reader([...block.subarray(80)])
  return Array.from({ length: reader.readVarIntNum() }, () => Buffer.from(Transaction.fromReader(reader).toBinary()))
}

/** A header in chaintracks' JSON. */
function fieldsOf(bytes: Uint8Array): object {
  const { version, previous, merkleRoot, time, bits, nonce } = readHeader(bytes)
  return { version, prevHash: previous, merkleRoot, time, bits, nonce }
}

/** The same in that of WhatsOnChain. */
function wocOf(bytes: Uint8Array): object {
  const { version, previous, merkleRoot, time, bits, nonce } = readHeader(bytes)
  const before = previous === '00'.repeat(32) ? {} : { previousblockhash: previous }
  return { version, merkleroot: merkleRoot, time, bits: bits.toString(16), nonce, ...before }
}
