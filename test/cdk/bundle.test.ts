import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import { bundleBroadcaster, bundleHandler, bundlePayments } from '../../cdk/bundle.ts'
import { ENV } from '../../shared/config/env.ts'
import { Project } from './synth.ts'

it.each(['payments', 'handler', 'broadcaster'] as const)('the bundle of %s loads without other files, as Lambda loads it', async (part) => {
  using project = new Project("{ handler: './main.ts', pools: { mypool: {} } }")
  const file = join(project.dir, 'main.ts')
  const { dir } =
    part === 'payments'
      ? await bundlePayments(project.config)
      : part === 'broadcaster'
        ? await bundleBroadcaster(project.config)
        : await bundleHandler('main', { file, named: './main.ts' }, project.config)
  const script = `const { handler } = await import(${JSON.stringify(pathToFileURL(join(dir, 'index.mjs')))}); console.log(typeof handler)`
  const said = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: project.dir,
    env: { AWS_REGION: 'us-east-1', ...Object.fromEntries(ENV[part].required.map((name) => [name, `https://example.com/${name}`])) },
    encoding: 'utf8',
    stdio: 'pipe',
  })
  expect(said.trim()).toBe('function')
})
