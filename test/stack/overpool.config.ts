import { defineConfig } from 'overpool-cloud'
import { stackPools } from '../machine/kinds.ts'

// What the suite is deployed with, on an emulator or on AWS.
export default defineConfig({
  handler: './main.ts',
  pools: stackPools,
  network: { bootstrap: ['127.0.0.1:9'] }, // nobody answers there: what tests publish is announced to no stranger
  aws: { retain: false },
})
