'use strict'
// Every Node reads this file, old ones too, to say that they are too old. So it uses no modern syntax.

/** The ledger needs node:sqlite without a flag, with busy timeouts and isTransaction: Node 22.16 and 24.0. */
var parts = process.versions.node.split('.').map(Number)
var isNewEnough = parts[0] >= 24 || (parts[0] === 22 && parts[1] >= 16)

if (!isNewEnough) {
  var error = new Error(
    'overpool-cloud needs Node 24 or newer for its ledger (of Node 22, 22.16 at least), and this is Node ' +
      process.versions.node +
      '. `npm install node@24` puts one into your project: its npm scripts run on it, and so does `npx node program.js`.'
  )
  error.name = 'OverpoolError'
  error.code = 'NODE_TOO_OLD'
  throw error
}
