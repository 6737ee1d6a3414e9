import { defineConfig } from 'overpool-cloud'
import { stackPools } from '../machine/kinds.ts'

// The config of the suite's stack, on an emulator or on AWS.
export default defineConfig({
  handler: './main.ts',
  pools: stackPools,
  network: { bootstrap: ['127.0.0.1:9'] }, // this address never answers, so pools of the tests are announced to nobody
  aws: { retain: false },
})
