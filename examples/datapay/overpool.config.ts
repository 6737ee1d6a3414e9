import { defineConfig } from 'overpool-cloud'

// The address of the key that pays, and the node.
const { ADDRESS = '' } = process.env
const { BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool' } = process.env

export default defineConfig({
  handler: './handler.ts',
  pools: {
    notes: {},
    // What is paid to the key on the chain becomes an entry; what the handler posts is broadcast. Wallets cannot post into it.
    wallet: { door: false, watch: { addresses: [ADDRESS] }, commit: 'always' },
  },
  bitcoin: {
    network: 'regtest',
    chain: [{ node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }],
  },
})
