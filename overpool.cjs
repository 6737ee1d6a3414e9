#!/usr/bin/env node
'use strict'
try {
  require('./node-version.cjs')
} catch (error) {
  console.error('overpool: ' + error.message)
  process.exit(1)
}
void import('./dist/cli/main.js')
