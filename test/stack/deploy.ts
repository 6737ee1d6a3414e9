import { type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type EmulatorName, startEmulator } from './emulators.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** The stack's name. */
export const NAME = 'OverpoolTest'

/** Runs cdklocal on the emulator that the environment names. It prints nothing but errors. */
export async function cdkLocal(env: NodeJS.ProcessEnv, ...args: string[]): Promise<void> {
  const common = ['-c', 'local=true', '--no-notices', '--ci', '--progress', 'events']
  const code = await exitCode('npx', ['cdklocal', ...args, ...common], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  if (code !== 0) throw new Error(`cdklocal ${args[0]} has failed; the reason is above`)
}

/** Deploys the stack of the tests for the time of `work`, on an emulator that it starts or on the one at AWS_ENDPOINT_URL. @param work gets the environment for tests of the stack */
export async function onEmulator<T>(name: EmulatorName, work: (env: Record<string, string>) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'overpool-stack-'))
  const outputs = join(folder, 'outputs.json')
  const emulator = await startEmulator(name)
  const cdk = async (what: string, ...args: string[]) => {
    const began = performance.now()
    await cdkLocal({ ...process.env, ...emulator.env }, ...args, '--app', 'node test/stack/app.ts', '--output', join(folder, 'cdk.out'))
    console.log(`${name}: ${what} in ${((performance.now() - began) / 1000).toFixed(1)} s`)
  }
  try {
    await cdk('bootstrapped', 'bootstrap')
    await cdk('deployed', 'deploy', NAME, '--require-approval', 'never', '--outputs-file', outputs)
    const done = await work({ ...emulator.env, ...stackEnv(NAME, name, outputs) })
    await cdk('taken down', 'destroy', NAME, '--force')
    return done
  } finally {
    await emulator.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The environment for tests of a stack. @param outputs the file with the stack's outputs */
export function stackEnv(name: string, side: string, outputs: string): Record<string, string> {
  return { OVERPOOL_STACK: name, OVERPOOL_STACK_SIDE: side, OVERPOOL_OUTPUTS: outputs }
}

/** Runs tests with these variables added to the environment. @returns the exit code */
export function vitest(env: Record<string, string>, tests: string[] = []): Promise<number> {
  return exitCode('npx', ['vitest', 'run', ...tests], { env: { ...process.env, ...env }, stdio: 'inherit' })
}

async function exitCode(command: string, args: string[], options: SpawnOptions): Promise<number> {
  const [code] = (await once(spawn(command, args, { cwd: ROOT, ...options }), 'exit')) as [number | null]
  return code ?? 1
}
