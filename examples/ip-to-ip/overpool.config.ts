import { defineConfig } from 'overpool-cloud'
import { paid } from './handler.ts'

// No `bitcoin`: this machine knows nothing of the Bitcoin network.
export default defineConfig({
  handler: './handler.ts',
  pools: {
    bob: {
      unique: 'transaction', // a cheque counts once, however often it is handed over
      filter({ parsed }) {
        if (paid(parsed) === 0) throw new Error('this does not pay Bob')
      },
    },
  },
})
