import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { cdkLocal } from './deployed.ts'
import { type EmulatorName, startEmulator } from './emulators.ts'

// Runs the scenarios on a machine that is deployed: `node test/stack/run.ts ministack | localstack` on an emulator, which is started and ended here or is at
// AWS_ENDPOINT_URL; `… deployed` on the stack OVERPOOL_STACK, which was deployed with `npx cdk deploy --app 'node test/stack/app.ts'`.

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const NAME = 'OverpoolTest'
const [target = '', ...tests] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), 'overpool-stack-'))
const outputs = join(folder, 'outputs.json')

try {
  if (target === 'deployed') {
    const name = process.env.OVERPOOL_STACK ?? NAME
    await describe(name)
    process.exitCode = scenarios(name, {})
  } else if (target === 'ministack' || target === 'localstack') {
    process.exitCode = await onEmulator(target)
  } else {
    console.error('say where: ministack, localstack or deployed')
    process.exitCode = 2
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function onEmulator(name: EmulatorName): Promise<number> {
  const emulator = await startEmulator(name)
  const cdk = (...args: string[]) =>
    cdkLocal({ ...process.env, ...emulator.env }, ...args, '--app', 'node test/stack/app.ts', '--output', join(folder, 'cdk.out'))
  const timed = (what: string, work: () => void) => {
    const began = performance.now()
    work()
    console.log(`${name}: ${what} in ${((performance.now() - began) / 1000).toFixed(1)} s`)
  }
  try {
    timed('bootstrapped', () => cdk('bootstrap'))
    timed('deployed', () => cdk('deploy', NAME, '--require-approval', 'never', '--outputs-file', outputs))
    const code = scenarios(NAME, emulator.env)
    timed('taken down', () => cdk('destroy', NAME, '--force'))
    return code
  } finally {
    await emulator.stop()
  }
}

/** The outputs of a stack on AWS, as `cdk deploy --outputs-file` writes them. */
async function describe(name: string): Promise<void> {
  const { Stacks: [stack] = [] } = await new CloudFormationClient({}).send(new DescribeStacksCommand({ StackName: name }))
  const values = Object.fromEntries((stack?.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]))
  writeFileSync(outputs, JSON.stringify({ [name]: values }))
}

function scenarios(name: string, env: Record<string, string>): number {
  const { status } = spawnSync('npx', ['vitest', 'run', ...tests], {
    cwd: ROOT,
    env: { ...process.env, ...env, OVERPOOL_STACK: name, OVERPOOL_STACK_SIDE: target, OVERPOOL_OUTPUTS: outputs },
    stdio: 'inherit',
  })
  return status ?? 1
}
