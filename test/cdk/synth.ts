import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { App } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { readProgram } from '../../cdk/read.ts'
import { OverpoolStack } from '../../cdk/stack.ts'

const DEFAULT_CONFIG = fileURLToPath(new URL('../../overpool.config.ts', import.meta.url))
export const HANDLER = 'export async function onTx(e, pool) { console.log(e.hash) }\n'

/** An existing ledger, as a config names it. */
export const ADOPTED = {
  table: 'Overpool-LedgerTable0A1B',
  bucket: 'overpool-ledgerbucket-0a1b',
  seed: 'arn:aws:secretsmanager:us-east-1:123456789012:secret:LedgerSeed-0a1B2c',
}

/** A folder with a config and its handler files, as a user has. */
export class Project {
  readonly dir = mkdtempSync(join(tmpdir(), 'overpool-cdk-'))

  /** @param config the argument of defineConfig */
  constructor(config: string, files: Record<string, string> = { 'main.ts': HANDLER }) {
    this.configure(config)
    for (const [name, text] of Object.entries(files)) this.write(name, text)
  }

  get config(): string {
    return join(this.dir, 'overpool.config.ts')
  }

  configure(config: string): void {
    this.write('overpool.config.ts', `import { defineConfig } from 'overpool-cloud'\nexport default defineConfig(${config})\n`)
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.dir, name), text)
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

export interface Synthesized {
  app: App
  stack: OverpoolStack
  template: Template
}

/** Synthesizes the stack of a config, as `cdk synth` does. */
export async function synthesize(config: string, files?: Record<string, string>, name = 'Overpool'): Promise<Synthesized> {
  using project = new Project(config, files)
  return await synthesizeProject(project, name)
}

export async function synthesizeProject(project: Project, name = 'Overpool'): Promise<Synthesized> {
  const app = new App({ context: { '@aws-cdk/aws-iam:minimizePolicies': true } })
  const stack = new OverpoolStack(app, name, { program: await readProgram(project.config) })
  return { app, stack, template: Template.fromStack(stack) }
}

/** The resources of the config of a fresh clone. */
export async function defaultResources(): Promise<Record<string, Resource>> {
  const stack = new OverpoolStack(new App(), 'Overpool', { program: await readProgram(DEFAULT_CONFIG) })
  return Template.fromStack(stack).toJSON().Resources as Record<string, Resource>
}

export interface Resource {
  Type: string
  // biome-ignore lint/suspicious/noExplicitAny: properties of any resource
  Properties: any
  DependsOn?: string[]
}

/** The resources of a type, by their ids. */
export function resourcesOf(template: Template, type: string): Record<string, Resource> {
  return template.findResources(type) as Record<string, Resource>
}

export interface Statement {
  Effect: string
  Action: string | string[]
  Resource: unknown
  Condition?: Record<string, Record<string, string | string[]>>
}

/** The policy statements of the roles whose ids begin with `role`. */
export function allowed(template: Template, role: string): Statement[] {
  return Object.entries(resourcesOf(template, 'AWS::IAM::Policy'))
    .filter(([id]) => id.startsWith(role))
    .flatMap(([, { Properties }]) => Properties.PolicyDocument.Statement as Statement[])
}

export function actionsOf(statements: Statement[]): string[] {
  return [...new Set(statements.flatMap(({ Action }) => Action))].sort()
}
