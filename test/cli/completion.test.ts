import { execFileSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Project, REPOSITORY } from './project.ts'

let project: Project

beforeAll(async () => {
  project = Project.of({ mypool: {}, other: {} }, 'export const onTx = () => {}')
  project.write('overpool', `#!/bin/sh\nexec '${process.execPath}' '${join(REPOSITORY, 'cli/main.ts')}' "$@"\n`)
  chmodSync(join(project.dir, 'overpool'), 0o755)
  const machine = await project.start()
  await machine.stop()
})
afterAll(() => project[Symbol.asyncDispose]())

/** What bash offers at a Tab at the end of the line. */
function offered(line: string): string[] {
  const words = line.split(' ')
  const script = `
    eval "$(overpool completion bash)"
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
    _overpool
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const PATH = `${project.dir}${delimiter}${process.env.PATH}`
  return execFileSync('bash', ['--norc', '-c', script], { cwd: project.dir, env: { PATH }, encoding: 'utf8' }).split('\n').filter(Boolean)
}

it.each([
  ['commands', 'overpool re', ['replay', 'rebuild', 'resume', 'repair', 'redrive', 'restore']],
  ['the pools of the machine', 'overpool tail ', ['mypool', 'other']],
  ['the pools, after other words', 'overpool --json tail -n 5 my', ['mypool']],
  ['the pools of another folder', 'overpool --dir nowhere tail ', []],
  ['options of the command', 'overpool tail --k', ['--kinds']],
  ['options of all commands', 'overpool tail --js', ['--json']],
  ['the choices of an argument', 'overpool completion ', ['bash', 'zsh', 'fish']],
  ['files, where a file is wanted', 'overpool start --config ', []],
  ['files, where a transaction is wanted', 'overpool post mypool ', []],
])('Tab offers %s', (_, line, words) => {
  expect(offered(line)).toEqual(words)
})

it('the scripts for zsh and fish ask the same command', async () => {
  for (const shell of ['zsh', 'fish']) expect((await project.result('completion', shell)).out).toContain('overpool complete --')
  expect(await project.result('completion', 'tcsh')).toMatchObject({ code: 2, err: expect.stringContaining('bash, zsh, fish') })
})
