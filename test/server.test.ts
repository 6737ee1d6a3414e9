import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { MAX_PAYMENT_BYTES } from '../shared/bip270/payment.ts'
import { REPOSITORY } from './cli/project.ts'

const page = readFileSync(join(REPOSITORY, 'docs/server.md'), 'utf8')
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0

it.skipIf(!hasSystemd)('docs/server.md has a unit that systemd takes, whose program is there', () => {
  const [, unit] = /^```ini\n(.*?)^```$/ms.exec(page)!
  const folder = mkdtempSync(join(tmpdir(), 'overpool-unit-'))
  try {
    const file = join(folder, 'overpool.service')
    writeFileSync(file, unit!.replaceAll('/opt/overpool', REPOSITORY.replace(/\/$/, '')).replace('User=overpool', 'User=root'))
    const { stderr, status } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' })
    expect([status, stderr.split('\n').filter((line) => line.includes('overpool.service'))]).toEqual([0, []])
    const [, program] = /^ExecStart=.* (\S+\.cjs)/m.exec(unit!)!
    expect(existsSync(join(REPOSITORY, program!))).toBe(true)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it('docs/server.md has proxies that pass on the largest payment', () => {
  const sizes = [...page.matchAll(/(?:client_max_body_size|max_size) (\d+)(?:m|MB)/g)].map(([, megabytes]) => Number(megabytes) * 1_000_000)
  expect(sizes).toHaveLength(2)
  for (const size of sizes) expect(size).toBeGreaterThan(MAX_PAYMENT_BYTES)
})

it.each(['local/Dockerfile', 'sidecar/Dockerfile'])('%s copies files that exist and that .dockerignore lets through', (file) => {
  const copied = [...readFileSync(join(REPOSITORY, file), 'utf8').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths]) =>
    paths!.split(' '),
  )
  const allowed = readFileSync(join(REPOSITORY, '.dockerignore'), 'utf8').split('\n')
  expect(copied.length).toBeGreaterThan(2)
  for (const path of copied.map((path) => path.replace(/^.*SOURCE.\//, ''))) {
    expect(existsSync(join(REPOSITORY, path)), path).toBe(true)
    expect(allowed).toContain(`!${path}`)
  }
})
