'use strict'
// Every Node reads this file, old ones too, to say that they are too old. So it uses no modern syntax.
var fs = require('fs')
var path = require('path')

/** A clone runs its TypeScript as it is: that is tried on Node 24 alone, which its npm scripts bring. */
var isClone = typeof __dirname === 'string' && fs.existsSync(path.join(__dirname, '..', 'index.ts'))

/** The ledger needs node:sqlite without a flag, with busy timeouts and isTransaction: Node 22.16 and 24.0. Keep "engines" in package.json in step. */
var parts = process.versions.node.split('.').map(Number)
var isNewEnough = parts[0] >= 24 || (!isClone && parts[0] === 22 && parts[1] >= 16)

if (!isNewEnough) {
  var error = new Error(
    isClone
      ? 'a clone of overpool-cloud runs on Node 24 or newer, and this is Node ' +
        process.versions.node +
        '. `npm ci` puts the right one into the clone; `npm start` and `npx overpool` run on it.'
      : 'overpool-cloud needs Node 24 or newer for its ledger (of Node 22, 22.16 at least), and this is Node ' +
        process.versions.node +
        '. `npm install node@24` puts one into your project: its npm scripts run on it, and so does `npx node program.js`.'
  )
  error.name = 'OverpoolError'
  error.code = 'NODE_TOO_OLD'
  throw error
}
