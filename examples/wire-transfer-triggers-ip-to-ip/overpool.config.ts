import { defineConfig } from 'overpool-cloud'

// The shop's address, and the node that the chain is read from.
const { ADDRESS = '' } = process.env
const { BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool' } = process.env

export default defineConfig({
  handler: './handler.ts',
  pools: {
    till: { grid: { chain: { filter: { addresses: [ADDRESS] } } } },
    tickets: { door: false }, // tickets come from the handler alone
  },
  bitcoin: {
    network: 'regtest',
    chain: [{ node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }],
  },
})
