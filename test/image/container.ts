import { execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Task } from '../machine/task.ts'
import { docker } from './docker.ts'
import type { TaskDefinition } from './task-definition.ts'

/** The sidecar in its container, as ECS runs it: on an empty disk of its own, which is copied to `dir` at its end. */
export class Container extends Task {
  readonly name: string
  readonly environment: Record<string, string>
  /** the path of its disk in the container */
  readonly disk: string
  #removed: Promise<void> | undefined

  /** @param environment the variables of the sidecar, and those with which the SDK reaches AWS */
  static run(
    image: string,
    { Cpu, Memory, Volumes, ContainerDefinitions: [container] }: TaskDefinition,
    dir: string,
    environment: Record<string, string>,
  ): Container {
    const { User, ReadonlyRootFilesystem, LinuxParameters, StopTimeout, HealthCheck, MountPoints } = container
    const name = `overpool-${randomUUID()}`
    const volumes = MountPoints.filter(({ SourceVolume }) => Volumes.some(({ Name }) => Name === SourceVolume))
    const [, ...health] = HealthCheck.Command // without the word CMD
    const args = [
      `--name=${name}`,
      '--network=host',
      `--user=${User}`,
      `--read-only=${ReadonlyRootFilesystem}`,
      `--init=${LinuxParameters.InitProcessEnabled}`,
      `--cpus=${Number(Cpu) / 1024}`,
      `--memory=${Memory}m`,
      `--stop-timeout=${StopTimeout}`,
      `--health-cmd=${health.join(' ')}`,
      `--health-interval=${HealthCheck.Interval}s`,
      `--health-timeout=${HealthCheck.Timeout}s`,
      `--health-retries=${HealthCheck.Retries}`,
      `--health-start-period=${HealthCheck.StartPeriod}s`,
      ...volumes.map(({ ContainerPath, ReadOnly }) => `--mount=type=volume,destination=${ContainerPath}${ReadOnly ? ',readonly' : ''}`),
      ...Object.entries(environment).map(([variable, value]) => `--env=${variable}=${value}`),
    ]
    return new Container(name, dir, environment, volumes[0]!.ContainerPath, [...args, image])
  }

  private constructor(name: string, dir: string, environment: Record<string, string>, disk: string, args: string[]) {
    super(dir, spawn('docker', ['run', ...args], { stdio: ['ignore', 'pipe', 'pipe'] }))
    this.name = name
    this.environment = environment
    this.disk = disk
  }

  /** Runs a command in the container; resolves to its output. */
  exec(...command: string[]): Promise<string> {
    return docker('exec', this.name, ...command)
  }

  override signal(signal: NodeJS.Signals): void {
    execFileSync('docker', ['kill', '--signal', signal, this.name])
  }

  override async ended(signal?: NodeJS.Signals): Promise<Task['end']> {
    const end = await super.ended(signal)
    await (this.#removed ??= this.#keepDisk().finally(() => this.remove()))
    return end
  }

  async #keepDisk(): Promise<void> {
    rmSync(join(this.dir, 'cores'), { recursive: true, force: true })
    await docker('cp', `${this.name}:${this.disk}/.`, this.dir)
  }

  /** Removes the container and its disk. */
  async remove(): Promise<void> {
    await docker('rm', '--force', '--volumes', this.name).catch(() => {}) // it may be removed already
  }
}
