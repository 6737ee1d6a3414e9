import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { NAME, onEmulator, stackEnv, vitest } from './deploy.ts'

// Runs the scenarios on a deployed machine. `node test/stack/run.ts ministack | localstack` uses an emulator, which it starts or which is at AWS_ENDPOINT_URL;
// `… deployed` uses the stack OVERPOOL_STACK, which was deployed with `npx cdk deploy --app 'node test/stack/app.ts'`.

const [target = '', ...tests] = process.argv.slice(2)

if (target === 'deployed') {
  process.exitCode = await onAws(process.env.OVERPOOL_STACK ?? NAME)
} else if (target === 'ministack' || target === 'localstack') {
  process.exitCode = await onEmulator(target, (env) => vitest(env, tests))
} else {
  console.error('name the target: ministack, localstack or deployed')
  process.exitCode = 2
}

async function onAws(name: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'overpool-stack-'))
  try {
    const outputs = join(folder, 'outputs.json')
    await describe(name, outputs)
    return await vitest(stackEnv(name, target, outputs), tests)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Writes the outputs of a stack on AWS into a file, as `cdk deploy --outputs-file` does. */
async function describe(name: string, file: string): Promise<void> {
  const { Stacks: [stack] = [] } = await new CloudFormationClient({}).send(new DescribeStacksCommand({ StackName: name }))
  const values = Object.fromEntries((stack?.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]))
  writeFileSync(file, JSON.stringify({ [name]: values }))
}
