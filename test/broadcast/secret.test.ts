import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { awsSecrets, secretOf } from '../../shared/broadcast/secret.ts'

const where = 'bitcoin.broadcast[0].apiKey'
const refused = (ref: unknown, message: RegExp | string) =>
  expect(() => secretOf(ref as never, where, {})).toThrow(
    expect.objectContaining({ code: 'BAD_CONFIG', message: message instanceof RegExp ? expect.stringMatching(message) : message }),
  )

it('a secret is read from the environment, or from a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'overpool-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'key')
  writeFileSync(file, 'a key\n')
  expect(secretOf({ env: 'ARC_KEY' }, where, { ARC_KEY: 'a key' })).toBe('a key')
  expect(secretOf({ file }, where, {})).toBe('a key')
  expect(secretOf(undefined, where, {})).toBeUndefined()
  writeFileSync(file, '\n')
  refused({ file }, `${where}: the file ${file} is empty`)
})

it('a secret that is missing is named, with the place where it was looked for', () => {
  refused({ env: 'ARC_KEY' }, `${where}: the environment variable ARC_KEY is not set`)
  refused({ file: '/nowhere/key' }, /^bitcoin\.broadcast\[0\]\.apiKey: the file \/nowhere\/key cannot be read: ENOENT/)
})

it('a secret of Secrets Manager is for a machine on AWS', () => {
  refused(
    { secret: 'arc-key' },
    /arc-key is a secret of AWS Secrets Manager, which only a machine on AWS reads: name an environment variable/,
  )
})

it('on AWS a secret is read from Secrets Manager, as plain text, and no error repeats it', async () => {
  const kept: Record<string, string> = { 'arc-key': 'a key\n', pairs: '{"key":"mainnet_0123456789"}', empty: '' }
  const read = awsSecrets(async (id) => kept[id]!)
  expect(await read({ secret: 'arc-key' }, where)).toBe('a key')
  expect(await read(undefined, where)).toBeUndefined()
  await expect(read({ secret: 'empty' }, where)).rejects.toThrow(`${where}: the secret empty is empty`)
  await expect(read({ env: 'ARC_KEY' }, where)).rejects.toThrow('on AWS a secret is in Secrets Manager')
  await expect(read({ secret: 'pairs' }, where)).rejects.toThrow(
    expect.objectContaining({
      code: 'BAD_CONFIG',
      message: `${where}: the secret pairs holds keys and values: store the text itself, as plain text`,
    }),
  )
})

it.each([
  ['mainnet_0123456789'],
  [7],
  [{}],
  [{ env: 'A', file: 'b' }],
  [{ key: 'mainnet_0123456789' }],
  [{ env: 'A', value: 'x' }],
  [null],
])('a config that holds %j as the secret is refused without repeating it', (ref) => {
  refused(ref, `${where} names where the secret is, { env: 'NAME' } or { file: 'path' }, and never holds the secret itself`)
})
