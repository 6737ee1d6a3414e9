import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type BitcoinSettings, Overpool, type PoolSettings, type TxEvent } from '../../index.ts'
import type { PaidFor } from '../../shared/paywall/paywall.ts'

export interface Opened {
  pool: Overpool
  dir: string
  /** of its pool `mypool`, where it has a door */
  url: string
  /** the entries of `mypool`, as soon as there are so many */
  entries: () => Promise<(TxEvent & { payment: { merchantData?: PaidFor } })[]>
}

/** A machine in a folder of its own, with the pool `mypool`. It ends with the test. */
export async function openMachine({
  bitcoin,
  port = false,
  ...settings
}: PoolSettings & { bitcoin?: BitcoinSettings; port?: 0 | false } = {}): Promise<Opened> {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-paywall-'))
  const pool = new Overpool({ dir, ...(bitcoin && { bitcoin }) })
  onTestFinished(async () => {
    await pool.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const { url = '' } = await pool.create({ path: 'mypool', port, ...settings })
  return { pool, dir, url, entries: async () => (await Array.fromAsync(pool.read({ path: 'mypool' }))) as never }
}
