import { defineConfig } from 'overpool-cloud'

// One config for both machines. Each publishes a pool, in which its agent speaks; the till is where the seller is paid.
const { NAME = 'seller', DHT = '127.0.0.1:49737', BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool' } = process.env

export default defineConfig({
  pools: { [NAME]: { publish: true }, till: {} },
  network: { host: '127.0.0.1', bootstrap: [DHT] },
  bitcoin: { network: 'regtest', chain: [{ node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }] },
})
