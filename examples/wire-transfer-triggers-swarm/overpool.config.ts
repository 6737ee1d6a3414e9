import { defineConfig } from 'overpool-cloud'

// One config for both machines. Only the lighthouse reads the chain: its pool has what pays to this address.
const { NAME = 'boat', DHT = '127.0.0.1:49737', ADDRESS = '' } = process.env
const { BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool' } = process.env
const node = { node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }
const isLighthouse = NAME === 'lighthouse'

export default defineConfig({
  handler: './handler.ts',
  pools: isLighthouse ? { donations: { grid: { chain: { filter: { addresses: [ADDRESS] } } }, publish: true } } : {},
  network: { host: '127.0.0.1', bootstrap: [DHT] },
  bitcoin: isLighthouse ? { network: 'regtest', chain: [node] } : undefined,
})
