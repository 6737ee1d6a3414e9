import { defineConfig } from 'overpool-cloud'

// The node that takes the payments, and tells what becomes of them.
const { BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool' } = process.env

export default defineConfig({
  handler: './handler.ts',
  pools: { bob: {} },
  bitcoin: {
    network: 'regtest',
    chain: [{ node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }],
  },
})
