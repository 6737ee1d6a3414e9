import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Project, REPOSITORY } from './project.ts'

// What a machine meets around it: a damaged file, another user's folder, a full disk, a low limit, a missing program or package.

const MAIN = join(REPOSITORY, 'cli/main.ts')
const HANDLER = 'export const onTx = () => {}\n'
const isRoot = process.getuid?.() === 0
/** The arguments of `setpriv` that run a command as a user without rights. */
const NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all']
const canBeNobody = isRoot && spawnSync('setpriv', [...NOBODY, process.execPath, MAIN, '--version']).status === 0
const canMount = isRoot && spawnSync('unshare', ['--mount', 'true']).status === 0
const firstPort = existsSync('/proc/sys/net/ipv4/ip_unprivileged_port_start')
  ? Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
  : 1_024

/** Runs a command to its end, with and without --json; both fail, with one sentence. */
async function sentenceOf(project: Project, command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const said = project.run(command, args, { env })
  expect([await said.ended(), said.out], said.err).toEqual([1, ''])
  const asJson = project.run(command, [...args, '--json'], { env })
  expect(await asJson.ended(), asJson.err).toBe(1)
  const { error, message } = JSON.parse(asJson.err)
  expect(error).toMatch(/^(UNAVAILABLE|ACCESS_DENIED|BAD_CONFIG)$/)
  expect(said.err).toBe(`overpool: ${message}\n`)
  return message
}

/** A project whose machine has run once. */
async function used(): Promise<Project> {
  const project = Project.of({ mypool: {} }, HANDLER)
  expect(await (await project.start()).stop()).toBe(0)
  return project
}

describe('a machine says what is wrong around it, names the path, and says what to do:', () => {
  it('its ledger is damaged, or is no database', async () => {
    await using project = await used()
    const ledger = join(project.dir, '.overpool/ledger.sqlite')
    const bytes = readFileSync(ledger)
    writeFileSync(ledger, Buffer.from(bytes).fill(9, 4_096))
    const start = () => sentenceOf(project, process.execPath, [MAIN, 'start'])
    expect(await start()).toBe(
      `${ledger} is damaged (database disk image is malformed): put a backup in its place with \`overpool restore <file>\`, which takes newer entries from the hypercores beside it`,
    )
    writeFileSync(ledger, Buffer.from(bytes).fill(9))
    expect(await start()).toMatch(/ledger\.sqlite is damaged \(file is not a database\)/)
    expect(await sentenceOf(project, process.execPath, [MAIN, 'tail', 'mypool'])).toMatch(/ledger\.sqlite is damaged/)
  })

  it.skipIf(!canBeNobody)('another user owns its folder, or a file in it', async () => {
    await using project = await used()
    chmodSync(project.dir, 0o755)
    const asNobody = (...args: string[]) => sentenceOf(project, 'setpriv', [...NOBODY, process.execPath, MAIN, ...args])
    const wrong = (path: string) =>
      `${join(project.dir, '.overpool', path)} belongs to user 0, and this is user 65534: run the machine as the user that owns its folder, or give it the folder with \`chown -R\``
    chmodSync(join(project.dir, '.overpool'), 0o700)
    expect(await asNobody('start')).toBe(wrong('ledger.sqlite'))
    expect(await asNobody('tail', 'mypool')).toBe(wrong('ledger.sqlite'))
    execFileSync('chmod', ['-R', 'a+rwX', join(project.dir, '.overpool')])
    expect(await asNobody('start')).toBe(wrong('ledger.sqlite')) // which every user could read, and only its owner can change that
  })

  it.skipIf(isRoot ? !canBeNobody || firstPort <= 80 : firstPort <= 80)('its port is for root', async () => {
    await using project = Project.of({ mypool: {} }, HANDLER)
    chmodSync(project.dir, 0o777)
    const start = [process.execPath, MAIN, 'start', '--port', '80']
    const [command, ...args] = isRoot ? ['setpriv', ...NOBODY, ...start] : start
    expect(await sentenceOf(project, command!, args)).toMatch(/^port 80 is for root: take one from 1024 on, behind a proxy/)
  })

  it('it may open few files', async () => {
    await using project = Project.of({ mypool: {} }, HANDLER)
    const said = await sentenceOf(project, 'sh', ['-c', 'ulimit -n 32 && exec "$@"', 'sh', process.execPath, MAIN, 'start'])
    expect(said).toMatch(
      /^this process may open 32 files at a time, and a machine needs 128: raise the limit with `ulimit -n 4096`, or LimitNOFILE=/,
    )
  })

  it.skipIf(!canMount)('its disk is full, at any step of the start', async () => {
    await using project = Project.of({ mypool: {} }, HANDLER)
    mkdirSync(join(project.dir, 'disk'))
    for (const size of ['4k', '40k', '100k', '160k', '250k']) {
      const script = 'mount -t tmpfs -o size=$0 none disk && exec "$@" --dir disk/machine start'
      const said = await sentenceOf(project, 'unshare', ['--mount', 'sh', '-c', script, size, process.execPath, MAIN])
      expect(said, size).toMatch(
        /^the disk of \S+\/disk\/machine\/\S+ is full: make room there, and nothing that was acknowledged is lost$/,
      )
    }
  })
})

describe('a clone after a pull', () => {
  it('names a package that is missing, and npm ci', async () => {
    await using project = new Project()
    for (const path of ['cli', 'client', 'functions', 'local', 'package', 'shared', 'sidecar', 'index.ts', 'package.json'])
      cpSync(join(REPOSITORY, path), join(project.dir, path), { recursive: true })
    const said = await sentenceOf(project, process.execPath, ['package/overpool.cjs', 'pools'])
    expect(said).toBe(`the package commander is missing, which this version needs: run \`npm ci\` in ${project.dir}`)
  })

  it('installs new packages before npm start, and nothing when all are there', async () => {
    await using upstream = new Project()
    await using project = new Project()
    mkdirSync(join(upstream.dir, 'cli'))
    cpSync(join(REPOSITORY, 'cli/installed.cjs'), join(upstream.dir, 'cli/installed.cjs'))
    mkdirSync(join(upstream.dir, 'package'))
    cpSync(join(REPOSITORY, 'package/node-version.cjs'), join(upstream.dir, 'package/node-version.cjs'))
    const pull = (...names: string[]) => {
      const dependencies = Object.fromEntries(names.map((name) => [name, `file:${name}`]))
      for (const name of names) {
        mkdirSync(join(upstream.dir, name), { recursive: true })
        upstream.write(`${name}/package.json`, JSON.stringify({ name, version: '1.0.0' }))
      }
      upstream.write('package.json', JSON.stringify({ name: 'clone', version: '1.0.0', dependencies }))
      execFileSync('npm', ['install', '--package-lock-only', '--offline', '--no-audit', '--no-fund'], {
        cwd: upstream.dir,
        stdio: 'ignore',
      })
      cpSync(upstream.dir, project.dir, { recursive: true })
    }
    const prestart = async () => {
      const program = project.run(process.execPath, ['cli/installed.cjs'])
      expect(await program.ended(), program.err).toBe(0)
      return program.out
    }
    pull('one')
    expect(await prestart()).toMatch(/^Installing what is needed/)
    expect(await prestart()).toBe('')
    pull('one', 'two')
    expect(await prestart()).toMatch(/^Installing what is needed/)
    expect(existsSync(join(project.dir, 'node_modules/two'))).toBe(true)
    expect(await prestart()).toBe('')
  })

  it('says that the emulators of AWS need Python', async () => {
    await using project = new Project()
    const program = project.run(process.execPath, [join(REPOSITORY, 'test/stack/try.ts')], {
      env: { PATH: project.dir, XDG_CACHE_HOME: project.dir, AWS_ENDPOINT_URL: '' },
    })
    expect(await program.ended()).toBe(1)
    expect(program.out).toMatch(/^Starting MiniStack …\n/)
    expect(program.err).toMatch(/^not deployed: python3 is missing, and the emulators run on it: install Python 3\.10 or newer with venv/)
  })
})
