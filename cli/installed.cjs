// Runs before `npm start` and `npm test`: installs what they need, if it is not all there. Any Node will do for this file: the right one comes with it.
const { execSync, spawnSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const { delimiter, join } = require('node:path')

const root = join(__dirname, '..')
if (!isInstalled()) {
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

/** Whether the packages of package-lock.json are there: a pull may have brought others. npm writes its list of them last, so it shows an install that was broken off. */
function isInstalled() {
  try {
    const wanted = packagesOf('package-lock.json')
    const there = packagesOf('node_modules/.package-lock.json')
    const hasDev = Object.values(there).some(({ dev }) => dev) // an install without the development packages is whole, too
    const isNeeded = ([path, { optional, devOptional, dev }]) => path && !optional && !devOptional && (hasDev || !dev)
    return Object.entries(wanted)
      .filter(isNeeded)
      .every(([path, { version }]) => there[path] && there[path].version === version)
  } catch {
    return false
  }
}

function packagesOf(file) {
  return JSON.parse(readFileSync(join(root, file), 'utf8')).packages
}
