import { defineConfig } from 'overpool-cloud'
import { paid } from './handler.ts'

// The node that takes the settlement, and tells what becomes of it.
const { BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool' } = process.env

export default defineConfig({
  handler: './handler.ts',
  pools: {
    bob: {
      unique: 'transaction',
      filter({ parsed }) {
        if (paid(parsed) === 0) throw new Error('this does not pay Bob')
      },
    },
  },
  bitcoin: {
    network: 'regtest',
    chain: [{ node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }],
  },
})
