import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { checkConfig, type OverpoolConfig } from '../shared/config/config.ts'
import { load } from '../shared/config/load-user-file.ts'

/** The config in a file, for a command that needs to know more than the machine's folder says. */
export async function readConfig(file: string): Promise<OverpoolConfig> {
  const folder = mkdtempSync(join(tmpdir(), 'overpool-config-')) // the machine's own folder has the bundles that it runs
  try {
    return checkConfig((await load(resolve(file), folder)).default)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
