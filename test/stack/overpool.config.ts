import { defineConfig } from 'overpool-cloud'
import { stackPools } from '../machine/kinds.ts'

// What the suite is deployed with, on an emulator or on AWS.
export default defineConfig({
  handler: './main.ts',
  pools: stackPools,
  aws: { retain: false },
})
