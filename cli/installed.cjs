// Runs before `npm start` and `npm test`: installs what they need, if it is not all there. Any Node will do for this file: the right one comes with it.
const { execSync } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')

const root = join(__dirname, '..')
// npm writes this file last, so that an install that was broken off is made again.
if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) {
  console.log('Installing what is needed, once …')
  try {
    execSync('npm ci --loglevel=error --no-audit --no-fund', { cwd: root, stdio: 'inherit' })
  } catch {
    console.error('\nThe installation has failed, npm says above why. Mend that, and run the same command again.')
    process.exit(1)
  }
}
