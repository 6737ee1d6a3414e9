'use strict'
require('./node-version.cjs')
// `const Overpool = require('overpool-cloud')`, as programs of the original do, and `const { Overpool, defineConfig } = …` both work.
var library = require('../dist/index.js')
module.exports = Object.assign(library.Overpool, library)
