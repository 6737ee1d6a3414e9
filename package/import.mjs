// A Node that does not know the condition "module-sync" is too old: it gets a clear error here instead of a syntax error later.
// A bundler may load this file as well; that is no error.
import './node-version.cjs'

const { Budget, Overpool, OverpoolError, createPaywall, dataTransaction, defineConfig, defineHandler, payingFetch } = await import('../dist/index.js')
export { Budget, createPaywall, dataTransaction, defineConfig, defineHandler, Overpool, Overpool as default, OverpoolError, payingFetch }
