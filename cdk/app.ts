import { resolve } from 'node:path'
import { App, Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { OverpoolError } from '../shared/errors.ts'
import { logged } from '../shared/printed.ts'
import { readProgram } from './read.ts'
import { OverpoolStack } from './stack.ts'

// `npx cdk deploy` runs this. Context: -c stage=test deploys a second machine beside the first, -c config=… uses another config file.
const app = new App()
const stage = text('stage')
const local = text('local') === 'true'
const config = resolve(text('config') ?? 'overpool.config.ts')
if (stage !== undefined && !/^[a-z][a-z0-9-]{0,30}$/.test(stage)) fail('-c stage=… is a short name of a-z, 0-9 and -, such as test')

try {
  const program = await readProgram(config)
  new OverpoolStack(app, stage === undefined ? 'Overpool' : `Overpool-${stage}`, { program, local })
} catch (error) {
  if (!(error instanceof OverpoolError)) throw error
  fail(error.message)
}
// A machine on an emulator is for trying: cdk-nag does not check it.
if (!local) Validations.of(app).addPlugins(new AwsSolutionsChecks(app))

function text(name: string): string | undefined {
  return app.node.tryGetContext(name) as string | undefined
}

function fail(message: string): never {
  console.error(logged(message))
  process.exit(1)
}
