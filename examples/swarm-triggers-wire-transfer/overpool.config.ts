import { defineConfig } from 'overpool-cloud'

// One config for both machines. Only the gateway knows a node, and only the stall takes payments.
const { NAME = 'stall', DHT = '127.0.0.1:49737' } = process.env
const { BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool' } = process.env
const node = { node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }
const isGateway = NAME === 'gateway'

export default defineConfig({
  handler: './handler.ts',
  pools: { [NAME]: { publish: true, door: !isGateway } },
  network: { host: '127.0.0.1', bootstrap: [DHT] },
  bitcoin: isGateway ? { network: 'regtest', chain: [node] } : undefined,
})
