#!/usr/bin/env node
'use strict'
try {
  require('./node-version.cjs')
} catch (error) {
  console.error('overpool: ' + error.message)
  process.exit(1)
}
// A clone runs its source, the installed package runs its built files.
const source = require('node:path').join(__dirname, '..', 'cli', 'main.ts')
void import(require('node:fs').existsSync(source) ? '../cli/main.ts' : '../dist/cli/main.js')
