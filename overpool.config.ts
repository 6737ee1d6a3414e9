import { defineConfig } from 'overpool-cloud'

export default defineConfig({
  handler: './functions/handlers/main.ts', // for every pool that names none of its own
  pools: {
    mypool: {},
  },
})
