import type { ReadTransaction } from '../chain/any-format.ts'
import { OverpoolError } from '../errors.ts'
import { hex } from '../ledger/values.ts'
import { readSpent, type SpentOutput, scanTransaction } from '../transaction/index.ts'
import { turn } from '../turn.ts'

/** Inputs of a transaction that is checked: each may take some milliseconds. */
const MAX_INPUTS = 200
/** Bytes of a script: nothing ends one that runs, and each few bytes may check a signature. */
const MAX_SCRIPT = 1_000
/** What all its scripts may take together, ms. */
const MOST_MS = 2_000
/** What a script may hold while it runs, bytes. */
const MEMORY = 100_000

/**
 * Runs the scripts of a transaction: those of the inputs whose outputs came along with it (extended format, BEEF). Another input must at least have an unlocking script.
 * Whether an output is still unspent, only the network knows.
 * @throws OverpoolError BAD_TRANSACTION
 */
export async function checkSigned({ scanned, along = [] }: Pick<ReadTransaction, 'scanned' | 'along'>): Promise<void> {
  if (scanned.inputCount > MAX_INPUTS)
    throw bad(`it has ${scanned.inputCount} inputs, and this pool checks the signatures of ${MAX_INPUTS}`)
  if (!scanned.inputCount) throw bad('it has no inputs, so nobody has signed it')
  const sources = sourcesIn(along, scanned.txid)
  const inputs = [...scanned.readInputs()]
  for (const [i, { script }] of inputs.entries()) if (!script.length) throw bad(`its input ${i} is not signed`)
  if (!sources.size && !along.some(({ spent }) => spent)) return
  const { LockingScript, Spend, Transaction, UnlockingScript } = await import('@bsv/sdk')
  const transaction = Transaction.fromBinary([...scanned.bytes])
  const until = performance.now() + MOST_MS
  const named = along.find(({ txid, spent }) => txid === scanned.txid && spent)?.spent
  const spentByName = named && readSpent(named)
  for (const [i, { txid, vout, script, sequence }] of inputs.entries()) {
    const source = spentByName?.[i] ?? sources.get(txid)?.[vout]
    if (!source) {
      if (sources.has(txid)) throw bad(`its input ${i} spends the output ${vout} of ${txid}, which has none of this number`)
      continue
    }
    if (Math.max(source.script.length, script.length) > MAX_SCRIPT)
      throw bad(`it runs scripts of up to ${MAX_SCRIPT} bytes, and that of its input ${i} is longer`)
    if (performance.now() > until) throw bad('its scripts take too long to run')
    const spend = new Spend({
      sourceTXID: txid,
      sourceOutputIndex: vout,
      sourceSatoshis: Number(source.satoshis),
      lockingScript: LockingScript.fromHex(hex(source.script)),
      transactionVersion: transaction.version,
      otherInputs: transaction.inputs.filter((_, n) => n !== i),
      outputs: transaction.outputs,
      inputIndex: i,
      unlockingScript: UnlockingScript.fromHex(hex(script)),
      inputSequence: sequence,
      lockTime: transaction.lockTime,
      memoryLimit: MEMORY,
      isRelaxed: true,
    })
    if (!isValid(() => spend.validate())) throw bad(`the signature of its input ${i} is wrong, or its script does not hold`)
    await turn()
  }
}

/** The outputs of the ancestors that came along. */
function sourcesIn(along: NonNullable<ReadTransaction['along']>, subject: string): Map<string, SpentOutput[]> {
  const outputs = (tx: Uint8Array) => Array.from(scanTransaction(tx).readOutputs(), ({ satoshis, script }) => ({ satoshis, script }))
  return new Map(along.flatMap(({ txid, tx }) => (tx && txid !== subject ? [[txid, outputs(tx)] as const] : [])))
}

function isValid(run: () => boolean): boolean {
  try {
    return run()
  } catch {
    return false
  }
}

function bad(what: string): OverpoolError {
  return new OverpoolError('BAD_TRANSACTION', `this pool takes signed transactions only: ${what}`)
}
