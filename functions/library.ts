/** `overpool-cloud` for configs and handlers on AWS: only what works inside a function. */
export { defineConfig } from '../shared/config/config.ts'
export { OverpoolError } from '../shared/errors.ts'
export { dataTransaction } from '../shared/transaction/index.ts'
