import { readFileSync } from 'node:fs'
import type { SecretPlace } from '../config/bitcoin.ts'
import { OverpoolError, reasonOf } from '../errors.ts'

/** Reads the secret that a config refers to; undefined if it refers to none. @param where the setting, for errors: `bitcoin.broadcast[0].apiKey` */
export type ReadSecret = (place: SecretPlace | undefined, where: string) => Promise<string | undefined>

/**
 * The secret that the config refers to, read at the start. White space around it is not a part of it. No error repeats it.
 * @param ref as the config has it, unchecked; a literal secret is refused: configs are copied, committed and logged
 * @param where the setting, for errors: `bitcoin.broadcast[0].apiKey`
 * @param env the environment
 * @throws OverpoolError BAD_CONFIG
 */
export function secretOf(ref: SecretPlace | undefined, where: string, env: NodeJS.ProcessEnv): string | undefined {
  if (ref === undefined) return undefined
  const { env: variable, file, secret, ...others } = Object(ref) as { env?: unknown; file?: unknown; secret?: unknown }
  if (typeof ref === 'object' && Object.keys(others).length === 0) {
    if (typeof secret === 'string' && variable === undefined && file === undefined)
      return bad(
        `${where}: ${secret} is a secret of AWS Secrets Manager, which only a machine on AWS reads: name an environment variable, { env: 'NAME' }, or a file, { file: 'path' }`,
      )
    if (typeof variable === 'string' && file === undefined && secret === undefined)
      return env[variable]?.trim() || bad(`${where}: the environment variable ${variable} is not set`)
    if (typeof file === 'string' && variable === undefined && secret === undefined)
      return contentOf(file, where) || bad(`${where}: the file ${file} is empty`)
  }
  return bad(`${where} names where the secret is, { env: 'NAME' } or { file: 'path' }, and never holds the secret itself`)
}

/** Secrets of an embedded machine. */
export function localSecrets(env: NodeJS.ProcessEnv): ReadSecret {
  return async (place, where) => secretOf(place, where, env)
}

/**
 * Secrets of a machine on AWS: those in Secrets Manager. An environment variable would show the secret in the console and in the template.
 * @param read reads a secret by its name or ARN
 */
export function awsSecrets(read: (id: string, what: string) => Promise<string>): ReadSecret {
  return async (place, where) => {
    if (place === undefined) return undefined
    if (!('secret' in place)) return bad(`${where}: on AWS a secret is in Secrets Manager: { secret: 'its name or ARN' }`)
    const text = (await read(place.secret, `${where}, the secret ${place.secret},`)).trim()
    if (!text) return bad(`${where}: the secret ${place.secret} is empty`)
    if (text.startsWith('{')) return bad(`${where}: the secret ${place.secret} holds keys and values: store the text itself, as plain text`)
    return text
  }
}

function contentOf(file: string, where: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    return bad(`${where}: the file ${file} cannot be read: ${reasonOf(cause)}`, cause)
  }
}

function bad(what: string, cause?: unknown): never {
  throw new OverpoolError('BAD_CONFIG', what, { cause })
}
