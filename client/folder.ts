import { existsSync } from 'node:fs'
import { folderLayout, hasLedger, isRunning, makeFolder, type Running, readRunning, readSeed } from '../local/folder.ts'
import { invoicingIn } from '../local/invoicing.ts'
import { openLedgerFile } from '../local/ports.ts'
import type { CheckedSettings } from '../shared/config/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import { paySecretOf } from '../shared/paywall/payee.ts'
import { CoreStore } from '../sidecar/cores/core.ts'
import { RemoteMachine } from './remote.ts'

/** Makes a machine in a folder that has none. @returns whether it had none */
export function createMachine(dir: string): boolean {
  if (existsSync(folderLayout(dir).ledger)) return false
  makeFolder(dir)
  readSeed(dir, true) // before the ledger: a ledger without a seed counts as damaged
  openLedgerFile(dir).close()
  return true
}

/** Opens the machine of a folder, whether a process runs it or not. @throws OverpoolError MACHINE_NOT_FOUND: none has been started in it */
export function openFolder(dir: string, settings?: CheckedSettings): RemoteMachine {
  const layout = folderLayout(dir)
  if (!hasLedger(dir))
    throw new OverpoolError(
      'MACHINE_NOT_FOUND',
      `there is no machine in ${dir}: start one with \`overpool start\`, or name its folder with --dir`,
    )
  const { stores, ingress, queue, runs, changed, close } = openLedgerFile(dir)
  return new RemoteMachine(
    {
      stores,
      ingress,
      bells: queue,
      seed: async () => readSeed(dir, false),
      paySecret: async () => paySecretOf(readSeed(dir, false)),
      shards: 1,
      cores: () => (existsSync(layout.cores) ? new CoreStore(layout.cores, readSeed(dir, false), { readOnly: true }) : undefined),
      broadcasts: readRunning(dir)?.broadcasts ?? true, // a machine that does not run may have one when it is started
      invoicing: {
        invoicing: invoicingIn({ ...receivingIn(dir), dir, seed: () => readSeed(dir, false), stores, now: Date.now }),
        base: () => readRunning(dir)?.url ?? readRunning(dir)?.urls[0],
      },
      runs: (query) => runs.list(query),
      isRunning: () => isRunning(dir),
      doors: () => readRunning(dir)?.urls ?? [],
      changed,
      close,
    },
    settings,
  )
}

/** Where money for invoices comes to, as the machine says that runs in the folder. */
function receivingIn(dir: string): Pick<Running, 'receive' | 'isTest' | 'watches'> {
  const { receive, isTest, watches } = readRunning(dir) ?? {}
  return { receive, isTest, watches }
}
