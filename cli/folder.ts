import { existsSync } from 'node:fs'
import { Pools } from '../functions/handler/pools.ts'
import { folderLayout, readSeed } from '../local/folder.ts'
import { type LedgerFile, openLedgerFile } from '../local/parts.ts'
import { systemClock } from '../shared/clock.ts'
import { checkSettings } from '../shared/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import { CoreStore } from '../sidecar/core.ts'

/** A machine's folder as the command line opens it: beside the running machine, or without one. */
export interface Folder extends LedgerFile {
  dir: string
  pools: Pools
  /** its hypercores, to read only: `undefined` if there are none yet */
  cores: () => CoreStore | undefined
}

/** Opens a folder that a machine has been started in, for the time of `work`. */
export async function withFolder<T>(dir: string, work: (folder: Folder) => Promise<T>): Promise<T> {
  const layout = folderLayout(dir)
  if (!existsSync(layout.ledger))
    throw new OverpoolError(
      'MACHINE_NOT_FOUND',
      `there is no machine in ${dir}: start one with \`overpool start\`, or name its folder with --dir`,
    )
  const ledger = openLedgerFile(dir)
  try {
    const { mirror, ingress } = ledger
    const pools = new Pools({ mirror, ingress, clock: systemClock, settings: () => checkSettings({}, ''), postFailed: () => {} })
    const cores = () => (existsSync(layout.cores) ? new CoreStore(layout.cores, readSeed(dir, false), { readOnly: true }) : undefined)
    return await work({ ...ledger, dir, pools, cores })
  } finally {
    ledger.close()
  }
}
