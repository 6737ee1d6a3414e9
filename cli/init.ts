import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { OverpoolError } from '../shared/errors.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import type { Out } from './out.ts'
import { VERSION } from './version.ts'

interface PackageJson {
  scripts?: Record<string, string>
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

const SCRIPTS = { start: 'overpool start', test: 'node --experimental-strip-types --test' }
const AWS_SCRIPTS = { deploy: 'cdk deploy' }
/** What `overpool-cloud/cdk` needs beside it, and the CDK's command. */
const AWS_PACKAGES = { 'aws-cdk': '^2.1148.1', 'aws-cdk-lib': '^2.276.0', 'cdk-nag': '^3.0.2', constructs: '^10.8.1' }

const FILES = {
  'overpool.config.ts': `import { defineConfig } from 'overpool-cloud'

export default defineConfig({
  handler: './handler.ts', // for every pool that names none of its own
  pools: {
    mypool: {},
  },
})
`,
  'handler.ts': `import type { Pools, TxEvent } from 'overpool-cloud'

/** Called with every entry of the pool, in order, normally once each. If it throws, or the machine dies, it is called again with the same entry. */
export async function onTx(e: TxEvent, pool: Pools) {
  console.log(\`\${e.path} #\${e.seq}  \${e.hash}\`)
}
`,
  'handler.test.mjs': `import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Overpool } from 'overpool-cloud'
import { onTx } from './handler.ts'

test('the handler takes a payment', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'overpool-'))
  const overpool = new Overpool({ dir })
  const handled = new Promise((resolve, reject) => {
    overpool.on('tx', (e, pool) => onTx(e, pool).then(() => resolve(e), reject))
  })
  await overpool.create({ path: 'mypool', port: false })
  const { hash } = await overpool.post({ path: 'mypool', payment: '${sampleTransaction('hello')}' })
  assert.equal((await handled).hash, hash)
  await overpool.close()
  await rm(dir, { recursive: true })
})
`,
  '.gitignore': `node_modules
.overpool
cdk.out
`,
}

const AWS_FILES = {
  'app.mjs': `import { overpoolApp } from 'overpool-cloud/cdk'

// \`npm run deploy\` runs this. It deploys the machine of overpool.config.ts.
const { stack } = await overpoolApp()

// If a handler needs other resources, create them in the stack and grant them here:
// table.grantReadWriteData(stack.handlers.handler.function)
`,
  'cdk.json': `${JSON.stringify(
    {
      app: 'node app.mjs',
      context: {
        '@aws-cdk/aws-iam:minimizePolicies': true,
        '@aws-cdk/core:checkSecretUsage': true,
        '@aws-cdk/aws-ecs:disableExplicitDeploymentControllerForCircuitBreaker': true,
      },
    },
    undefined,
    2,
  )}
`,
}

/** Writes the files of a project, and its scripts and dependencies into package.json. What is there already stays as it is. */
export function init(folder: string, { aws = false }: { aws?: boolean }, out: Out): void {
  const dir = resolve(folder)
  mkdirSync(dir, { recursive: true })
  const files = { ...FILES, ...(aws && AWS_FILES) }
  const written = [
    writePackage(dir, aws) && 'package.json',
    ...Object.entries(files).map(([name, text]) => writeNew(dir, name, text) && name),
  ]
  const names = written.filter((name) => name !== false)
  const steps = [...(dir === resolve('.') ? [] : [`cd ${folder}`]), 'npm install', 'npm start', ...(aws ? ['npm run deploy'] : [])]
  out.show({ dir, written: names }, names.length ? `written: ${names.join(', ')}` : 'all files are there already')
  out.say(`\nNext:\n\n${steps.map((step) => `  ${step}`).join('\n')}`)
  if (!aws) out.say('\n`npx overpool init --aws` adds what deploys it to AWS.')
}

function writeNew(dir: string, name: string, text: string): boolean {
  const file = join(dir, name)
  if (existsSync(file)) return false
  writeFileSync(file, text)
  return true
}

/** Adds the scripts and dependencies that are missing. Returns whether there were any. */
function writePackage(dir: string, aws: boolean): boolean {
  const file = join(dir, 'package.json')
  const before = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const there = before ? parsePackage(file, before) : { name: nameOf(dir), private: true, type: 'module' }
  const { scripts, dependencies, devDependencies } = there as PackageJson
  const after = {
    ...there,
    scripts: { ...SCRIPTS, ...(aws && AWS_SCRIPTS), ...scripts },
    dependencies: { 'overpool-cloud': `^${VERSION}`, ...dependencies },
    ...((aws || devDependencies) && { devDependencies: { ...(aws && AWS_PACKAGES), ...devDependencies } }),
  }
  const text = `${JSON.stringify(after, undefined, 2)}\n`
  if (JSON.stringify(there) === JSON.stringify(after)) return false
  writeFileSync(file, text)
  return true
}

function parsePackage(file: string, text: string): object {
  try {
    return JSON.parse(text) as object
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `${file} is no JSON: mend it first, then run this again`, { cause })
  }
}

/** A name for a package, from its folder's. */
function nameOf(dir: string): string {
  const name = basename(dir)
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+/, '')
  return name || 'my-overpool'
}
