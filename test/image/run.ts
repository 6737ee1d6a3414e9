import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onEmulator, vitest } from '../stack/deploy.ts'
import { baseImage } from './base.ts'
import { docker, Lacking, startEngine } from './docker.ts'
import { synthesize } from './task-definition.ts'

// Builds the sidecar's image and runs it as its task definition says, beside the stack of the tests on MiniStack; builds that of the embedded machine, and runs it as
// docs/server.md says: `node test/image/run.ts`. It fails without a
// Docker engine or a base image; with `--or-skip` its tests are then skipped with that reason.

const OR_SKIP = '--or-skip'
const tests = process.argv.slice(2).filter((argument) => argument !== OR_SKIP)
const orSkip = process.argv.includes(OR_SKIP)
const IMAGE = 'overpool-sidecar:test'
const EMBEDDED = 'overpool:test'
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const timed = async <T>(what: (done: T) => string, work: Promise<T>): Promise<T> => {
  const began = performance.now()
  const done = await work
  console.log(`image: ${what(done)} in ${((performance.now() - began) / 1000).toFixed(1)} s`)
  return done
}

const folder = mkdtempSync(join(tmpdir(), 'overpool-image-'))
const synthesized = join(folder, 'cdk.out')
let engine: Awaited<ReturnType<typeof startEngine>> | undefined
try {
  engine = await timed(({ where }) => `${where} answered`, startEngine())
  const { sources } = await synthesize(synthesized) // not at the same time as the deployment, which bundles the functions into the same place
  const building = build(sources)
  building.catch(() => {}) // it is awaited below, where its error is thrown
  process.exitCode = await onEmulator('ministack', async (env) => {
    await building
    return vitest({ ...env, OVERPOOL_IMAGE: IMAGE, OVERPOOL_EMBEDDED_IMAGE: EMBEDDED, OVERPOOL_SYNTHESIZED: synthesized }, tests)
  })
} catch (error) {
  if (!(error instanceof Lacking)) throw error
  if (orSkip) process.exitCode = await vitest({ OVERPOOL_IMAGE_LACKS: error.message }, tests)
  else throw error
} finally {
  await engine?.stop()
  rmSync(folder, { recursive: true, force: true })
}

/** Builds the sidecar's image from the files that `cdk deploy` would upload, and that of the embedded machine from this clone, for this computer's processor. */
async function build({ directory, dockerFile }: { directory: string; dockerFile: string }): Promise<void> {
  const base = await timed(({ what }) => `${what} was there`, baseImage())
  const args = ['build', '--network=host', `--build-arg=BASE=${base.image}`]
  await timed(() => 'built', docker(...args, '--file', join(directory, dockerFile), '--tag', IMAGE, directory))
  await timed(() => 'the embedded machine built', docker(...args, '--file', join(ROOT, 'local/Dockerfile'), '--tag', EMBEDDED, ROOT))
}
