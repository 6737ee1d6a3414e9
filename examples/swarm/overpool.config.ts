import { defineConfig } from 'overpool-cloud'

// One config for both machines: each publishes a pool. Without `network` they meet in the public DHT.
const { NAME = 'waiter', DHT = '127.0.0.1:49737' } = process.env

export default defineConfig({
  handler: './handler.ts',
  pools: { [NAME]: { publish: true } },
  network: { host: '127.0.0.1', bootstrap: [DHT] },
})
