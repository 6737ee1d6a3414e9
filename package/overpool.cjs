#!/usr/bin/env node
'use strict'
var fs = require('fs')
var path = require('path')

function fail(code, message) {
  var isJson = process.argv.indexOf('--json') >= 0
  console.error(isJson ? JSON.stringify({ error: code, message: message, retryable: false }) : 'overpool: ' + message)
  process.exit(1)
}

try {
  require('./node-version.cjs')
} catch (error) {
  fail(error.code, error.message)
}
const { keepCompiled, restartLean } = require('./memory.cjs')
// A clone runs its source, the installed package runs its built files.
const root = path.join(__dirname, '..')
const isClone = fs.existsSync(path.join(root, 'cli', 'main.ts'))
if (isClone) keepCompiled(root)
if (process.argv.includes('start')) restartLean()
import(isClone ? '../cli/main.ts' : '../dist/cli/main.js').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
  const [, name] = /'([^']+)'/.exec(error.message) || []
  fail('BAD_CONFIG', `the package ${name} is missing, which this version needs: run \`npm ${isClone ? 'ci' : 'install'}\` in ${isClone ? root : 'your project'}`)
})
