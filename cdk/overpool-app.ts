import { resolve } from 'node:path'
import { App, Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { OverpoolError } from '../shared/errors.ts'
import { logged } from '../shared/printed.ts'
import { type Program, readProgram } from './read.ts'
import { OverpoolStack } from './stack.ts'

export interface OverpoolApp {
  app: App
  /** the machine: grant its handlers what they need besides, such as a table of your own */
  stack: OverpoolStack
}

/**
 * The app that the CDK runs: the machine of `overpool.config.ts` in the current folder, as the stack `Overpool`. Context: `-c stage=test` makes a second machine beside the
 * first, `Overpool-test`; `-c config=…` takes another config file. If the config is wrong, it prints the line to change and ends the process.
 */
export async function overpoolApp(): Promise<OverpoolApp> {
  const app = new App()
  const text = (name: string) => app.node.tryGetContext(name) as string | undefined
  const stage = text('stage')
  const local = text('local') === 'true'
  if (stage !== undefined && !/^[a-z][a-z0-9-]{0,30}$/.test(stage)) fail('-c stage=… is a short name of a-z, 0-9 and -, such as test')
  const program = await readOrFail(resolve(text('config') ?? 'overpool.config.ts'))
  const stack = new OverpoolStack(app, stage === undefined ? 'Overpool' : `Overpool-${stage}`, { program, local })
  // A machine on an emulator is for trying: cdk-nag does not check it.
  if (!local) Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
  return { app, stack }
}

async function readOrFail(config: string): Promise<Program> {
  try {
    return await readProgram(config)
  } catch (error) {
    if (!(error instanceof OverpoolError)) throw error
    fail(error.message)
  }
}

function fail(message: string): never {
  console.error(logged(message))
  process.exit(1)
}
