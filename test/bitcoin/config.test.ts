import { describe, expect, it } from 'vitest'
import { checkConfig, doorsOf } from '../../shared/config/config.ts'

const NODE = { node: 'http://127.0.0.1:18443' }
const bitcoin = { network: 'regtest', chain: [NODE] }

describe('a config with a mistake in what it says of Bitcoin is refused, and the sentence names the setting:', () => {
  it.each<[sentence: string, config: object]>([
    ["bitcoin.network is 'main', 'test', 'regtest'", { bitcoin: { network: 'mainnet' } }],
    ['there is no setting `bitcoin.broadcasts`', { bitcoin: { ...bitcoin, broadcasts: [] } }],
    ['bitcoin.broadcast[0] has one of arc, arcade, node', { bitcoin: { ...bitcoin, broadcast: [{}] } }],
    ['bitcoin.broadcast[0].arc is an http or https address', { bitcoin: { ...bitcoin, broadcast: [{ arc: 'arc.taal.com' }] } }],
    ['bitcoin.chain[0].password says where the secret is', { bitcoin: { ...bitcoin, chain: [{ ...NODE, password: 'secret' }] } }],
    [
      'bitcoin.chain[0].zmq is the address that the node publishes at',
      { bitcoin: { ...bitcoin, chain: [{ ...NODE, zmq: '127.0.0.1:28332' }] } },
    ],
    ['bitcoin.broadcast[0] has no setting zmq', { bitcoin: { ...bitcoin, broadcast: [{ ...NODE, zmq: 'tcp://127.0.0.1:28332' }] } }],
    ...[undefined, { prefixes: ['app'] }, { addresses: ['1BitcoinEaterAddressDontSendf59kuE'], match: () => true }].map(
      (filter): [string, object] => [
        'pools.g.grid.chain needs whole blocks, and { services: true } gives none',
        { bitcoin: { network: 'main', chain: [{ services: true }] }, pools: { g: { grid: { chain: { filter } } } } },
      ],
    ),
    ['bitcoin.callbacks is the https address', { bitcoin: { ...bitcoin, callbacks: 'http://pay.example' } }],
    ["pools.shop.commit is 'never', 'always' or a function", { bitcoin, pools: { shop: { commit: true } } }],
    ['pools.shop.commit hands payments to Bitcoin, and `bitcoin` names nobody who takes them', { pools: { shop: { commit: 'always' } } }],
    ['pools.shop.watch', { bitcoin, pools: { shop: { watch: { adresses: [] } } } }],
    ['pools.shop.watch', { bitcoin, pools: { shop: { watch: { addresses: ['nobody'] } } } }],
    ['there is no setting `pools.shop.watch.match`', { bitcoin, pools: { shop: { watch: { match: () => true } } } }],
    ['pools.g.grid is { chain: { … } }', { bitcoin, pools: { g: { grid: {} } } }],
    ["pools.g.grid.chain.from is 'now' or a height", { bitcoin, pools: { g: { grid: { chain: { from: -1 } } } } }],
    ['pools.g.grid.chain.filter', { bitcoin, pools: { g: { grid: { chain: { filter: { scripts: ['xx'] } } } } } }],
    ['pools.shop.door is true or false', { pools: { shop: { door: 'closed' } } }],
    ['pools.g.watch says nothing to a pool with a grid', { bitcoin, pools: { g: { grid: { chain: {} }, watch: {} } } }],
  ])('%s', (sentence, config) => {
    const check = () => checkConfig({ pools: {}, ...config })
    expect(check).toThrow(expect.objectContaining({ code: 'BAD_CONFIG', message: expect.stringContaining(sentence) }))
  })

  it('gives a door to the pools that wallets post into, here and on AWS', () => {
    const pools = { shop: {}, open: { door: true }, wallet: { door: false }, names: { grid: { chain: {} } } }
    expect(doorsOf(checkConfig({ bitcoin, pools }))).toEqual(['shop', 'open'])
  })

  it('and one without a mistake is taken', () => {
    const pools = {
      shop: { commit: 'always', watch: { scripts: ['51'] } },
      grid: { grid: { chain: { from: 0, mempool: false, filter: { prefixes: ['app'] } } } },
    }
    expect(checkConfig({ bitcoin, pools })).toMatchObject({ bitcoin })
  })
})
