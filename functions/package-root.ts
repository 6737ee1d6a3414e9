/** In the bundle of a function, `import … from 'overpool-cloud'` gives this file (cdk/bundle.ts): only what works inside a function. */
export { defineConfig } from '../shared/config/config.ts'
export { OverpoolError } from '../shared/errors.ts'
export { dataTransaction } from '../shared/transaction/index.ts'
