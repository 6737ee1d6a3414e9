import { OverpoolError } from './errors.ts'

/** The environment that each part reads: names that must be there, and names that may be. Nothing else reads `process.env`. */
export const ENV = {
  local: { required: [], optional: ['PORT', 'HOST', 'OVERPOOL_DIR'] },
} as const satisfies Record<string, { required: readonly string[]; optional: readonly string[] }>

export type EnvOf<Part extends keyof typeof ENV> = Record<(typeof ENV)[Part]['required'][number], string> &
  Partial<Record<(typeof ENV)[Part]['optional'][number], string>>

/** The environment of a part, or BAD_CONFIG with all that is missing. */
export function readEnv<Part extends keyof typeof ENV>(part: Part, from: NodeJS.ProcessEnv = process.env): EnvOf<Part> {
  const { required, optional } = ENV[part] as { required: readonly string[]; optional: readonly string[] }
  const missing = required.filter((name) => !from[name])
  if (missing.length) throw new OverpoolError('BAD_CONFIG', `the environment lacks ${missing.join(', ')}`)
  const present = [...required, ...optional].filter((name) => from[name])
  return Object.fromEntries(present.map((name) => [name, from[name]])) as EnvOf<Part>
}
