import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { folderLayout } from '../../local/folder.ts'
import { type LedgerFile, openLedgerFile } from '../../local/ports.ts'
import { systemClock } from '../../shared/clock.ts'
import { type Block, encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import { idOfPayment } from '../../shared/ledger/ids.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import { transactionFromHex } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { CoreStore, poolKeys } from '../../sidecar/cores/core.ts'

/** A ledger in a folder of its own, with a pool named `a`, without a machine. */
export interface Ledger extends LedgerFile, AsyncDisposable {
  dir: string
  key: string
  cores: CoreStore
}

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), 'overpool-faults-'))
}

export async function tempLedger(): Promise<Ledger> {
  const dir = tempDir()
  const seed = new Uint8Array(32).fill(7)
  const file = openLedgerFile(dir)
  const cores = new CoreStore(folderLayout(dir).cores, seed)
  const { key, discoveryKey } = poolKeys(seed, 'a')
  await file.stores.control.create({ kind: 'own', path: 'a', key, discoveryKey, createdAt: 0 })
  return {
    ...file,
    dir,
    key,
    cores,
    async [Symbol.asyncDispose]() {
      await cores.close()
      file.close()
      rmSync(dir, { recursive: true })
    },
  }
}

/** What a runner of a test does with a failure: it gives the entry up at once. */
export function oneAttempt() {
  return {
    clock: systemClock,
    maxAttempts: 1,
    retryForMs: 0,
    onPoison: 'skip' as const,
    timeoutMs: 10_000,
    retryMs: 1,
    retryMostMs: 1,
    alone: oneAfterTheOther(),
  }
}

/** A wallet's post of a transaction that carries this text. */
export function postOf(text: string, pool = 'a'): IngressMessage & { txid: string; id: EntryId } {
  const { txid, bytes: tx } = transactionFromHex(sampleTransaction(text))
  const id = idOfPayment(pool, tx, {})
  return { pool, id, txid, named: false, entry: encodeEntry({ kind: 'tx', id, at: 0, tx, payment: {}, source: 'http', hops: 0 }) }
}

/** Block n of posts with these texts. */
export function blockOf(n: number, first: number, ...texts: string[]): Block {
  return encodeBlock(
    n,
    first,
    texts.map((text) => postOf(text).entry),
  )
}
