import { defineConfig } from 'overpool-cloud'

// One config for the three machines. Which of them this one is stands in the environment; and where the network begins, a DHT node of their own.
const { VENDOR = 'ana', DHT = '127.0.0.1:49737' } = process.env

export default defineConfig({
  handler: './handler.ts',
  pools: { [VENDOR]: { publish: true } },
  network: { host: '127.0.0.1', bootstrap: [DHT] },
})
