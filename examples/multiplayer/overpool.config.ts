import { defineConfig } from 'overpool-cloud'

// One config for the three machines. The environment says which of them this one is, and at which DHT node their network starts.
const { VENDOR = 'ana', DHT = '127.0.0.1:49737' } = process.env

export default defineConfig({
  handler: './handler.ts',
  pools: { [VENDOR]: { publish: true } },
  network: { host: '127.0.0.1', bootstrap: [DHT] },
})
