// For a Node that does not know the condition "module-sync", and so is too old: it gets a sentence here, and not a syntax error from further in.
// A bundler may come this way, too, with nothing wrong.
import './node-version.cjs'

const { Overpool, OverpoolError, defineConfig } = await import('../dist/index.js')
export { defineConfig, Overpool, Overpool as default, OverpoolError }
