import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeEach, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { pay } from '../cli/project.ts'
import { until } from '../machine/machine.ts'
import { freePort } from '../stack/emulators.ts'
import { docker } from './docker.ts'

const lacks = process.env.OVERPOOL_IMAGE_LACKS
const name = `overpool-${randomUUID()}`

beforeEach(({ skip }) => {
  if (lacks !== undefined) skip(lacks)
})
afterAll(async () => {
  if (lacks !== undefined) return
  await docker('rm', '--force', name).catch(() => {})
  await docker('volume', 'rm', '--force', name)
})

/** The options of the `docker run` in docs/server.md, for a container of the test's own, on the host's network. */
function optionsOfDocs(port: number): string[] {
  const docs = readFileSync(new URL('../../docs/server.md', import.meta.url), 'utf8')
  const [, line] = /^docker run ((?:.*\\\n)*.*) overpool$/m.exec(docs)!
  return line!
    .replaceAll('\\\n', ' ')
    .replace(/--name \S+/, `--name ${name}`)
    .replace(/--publish \S+/, `--network host --env HOST=127.0.0.1 --env PORT=${port}`)
    .replace(/--volume [^:]+/, `--volume ${name}`)
    .split(/ +/)
}

const exec = (...command: string[]) => docker('exec', name, ...command)
const becomesHealthy = () =>
  until(
    () => docker('inspect', '--format', '{{.State.Health.Status}}', name),
    (health) => health === 'healthy',
    90_000,
  )

it('the image of the embedded machine takes payments as docs/server.md runs it, and keeps them over a restart', async () => {
  const port = await freePort()
  await docker('run', ...optionsOfDocs(port), process.env.OVERPOOL_EMBEDDED_IMAGE!)
  await becomesHealthy()
  expect(await exec('id', '-un')).toBe('node')
  expect(await exec('sh', '-c', 'touch /app/file 2>&1 || true')).toMatch(/Read-only file system/)
  expect(await pay(`http://127.0.0.1:${port}/mypool`, sampleTransaction('a'))).toBe(200)
  await until(
    () => docker('logs', name),
    (log) => /^mypool #0 /m.test(log),
  )
  expect(await exec('overpool', 'check')).toBe('all is well')
  expect(await exec('overpool', 'backup', '/ledger/copy.sqlite')).toMatch(/with the seed/)

  await docker('stop', name)
  expect(await docker('inspect', '--format', '{{.State.ExitCode}}', name)).toBe('0')
  await docker('start', name)
  await becomesHealthy()
  expect(await exec('overpool', 'tail', 'mypool')).toMatch(/^#0 /)
  expect(await exec('overpool', 'verify', 'mypool')).toMatch(/all of it agrees$/)
})
