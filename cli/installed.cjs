// Runs before `npm start` and `npm test`: installs what they need, if it is not all there. Any Node will do for this file: the right one comes with it.
const { execSync, spawnSync } = require('node:child_process')
const { existsSync } = require('node:fs')
const { delimiter, join } = require('node:path')

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

// npm puts node_modules/.bin first into the PATH of a script. Without the Node in it, the script would run on the system's, which may not be able to read the source.
const PATH = `${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH}`
const check = "try { require('./package/node-version.cjs') } catch ({ message }) { console.error(`overpool: ${message}`); process.exit(1) }"
if (spawnSync('node', ['--eval', check], { cwd: root, env: { ...process.env, PATH }, stdio: 'inherit' }).status !== 0) {
  console.error('npm has not put that Node into node_modules, perhaps because its settings forbid install scripts: run `npm rebuild node --ignore-scripts=false`.')
  process.exit(1)
}
