/** `overpool-cloud` as a config or a handler on AWS imports it: what works there, and none of the machine that they are part of. */
export { defineConfig } from '../shared/config/config.ts'
export { OverpoolError } from '../shared/errors.ts'
