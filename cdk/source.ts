import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A clone deploys its TypeScript, an installed package the JavaScript that it was built to. */
const isClone = import.meta.url.endsWith('.ts')
/** The folder of shared/, functions/ and sidecar/. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** The folder of package.json. */
export const PACKAGE = isClone ? ROOT : join(ROOT, '..')
/** The folder of the sources inside the package. */
export const SOURCE = isClone ? '.' : 'dist'

/** The file of a module. @param module such as `functions/payments/index` */
export function fileOf(module: string): string {
  return `${module}${isClone ? '.ts' : '.js'}`
}
