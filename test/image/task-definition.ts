import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const APP = fileURLToPath(new URL('../stack/app.ts', import.meta.url))
const STACK = 'OverpoolTest'

/** The sidecar's container in the template. */
export interface ContainerDefinition {
  User: string
  ReadonlyRootFilesystem: boolean
  LinuxParameters: { InitProcessEnabled: boolean }
  /** seconds */
  StopTimeout: number
  HealthCheck: { Command: string[]; Interval: number; Timeout: number; Retries: number; StartPeriod: number }
  MountPoints: { ContainerPath: string; ReadOnly: boolean; SourceVolume: string }[]
  /** without values, which are known only after the deployment */
  Environment: { Name: string }[]
}

/** The sidecar's task in the template. */
export interface TaskDefinition {
  /** 1,024 units are one processor */
  Cpu: string
  /** MiB */
  Memory: string
  Volumes: { Name: string }[]
  ContainerDefinitions: [ContainerDefinition]
}

interface Synthesized {
  taskDefinition: TaskDefinition
  /** the files of the image */
  sources: { directory: string; dockerFile: string }
}

/** Synthesizes the stack of the tests as `cdk deploy` does, for AWS. */
export async function synthesize(folder: string): Promise<Synthesized> {
  await promisify(execFile)(process.execPath, [APP], { env: { ...process.env, CDK_OUTDIR: folder } })
  return readSynthesized(folder)
}

export function readSynthesized(folder: string): Synthesized {
  const read = (name: string) =>
    JSON.parse(readFileSync(join(folder, `${STACK}.${name}.json`), 'utf8')) as Record<string, Record<string, never>>
  const tasks = Object.values(read('template').Resources!) as { Type: string; Properties: TaskDefinition }[]
  const [image] = Object.values(read('assets').dockerImages!) as { source: Synthesized['sources'] }[]
  const { directory, dockerFile } = image!.source
  return {
    taskDefinition: tasks.find(({ Type }) => Type === 'AWS::ECS::TaskDefinition')!.Properties,
    sources: { directory: join(folder, directory), dockerFile },
  }
}
