'use strict'
require('./node-version.cjs')
// `const Overpool = require('overpool-cloud')`, as the original's programs say it, and `const { Overpool, defineConfig } = …` too.
var library = require('../dist/index.js')
module.exports = Object.assign(library.Overpool, library)
