import type { McpServer } from '@modelcontextprotocol/server'
import { z } from 'zod'
import { OverpoolError } from '../../shared/errors.ts'
import { dataTransaction } from '../../shared/transaction/index.ts'
import { answer, answering } from './answer.ts'
import type { McpDoor } from './door.ts'
import { POOL, TXID } from './entries.ts'

const WRITES = { readOnlyHint: false, destructiveHint: false, openWorldHint: true }
const TRANSACTION = z.string().min(2).max(4_000_000).describe('a transaction, raw, in the extended format or in BEEF, in hex or base64')
const NAME = z
  .string()
  .min(1)
  .max(200)
  .optional()
  .describe(
    'a name of your choice: a second call with it does nothing new. Give one, so that you can safely repeat a call whose answer was lost',
  )
const LATER = 'it enters the ledger when the machine is started'

/** The tools that write to the ledger. */
export function addWritingTools(server: McpServer, door: McpDoor): void {
  server.registerTool(
    'post',
    {
      title: 'Post to a pool',
      description:
        'Records a transaction in a pool of this machine: one that you have, or a new one that carries texts (it moves no money). It is durable when this returns; the handlers of the pool run on it, and whoever follows the pool gets it. It is not broadcast to Bitcoin: that is `broadcast`.',
      inputSchema: z.strictObject({
        pool: POOL,
        transaction: TRANSACTION.optional(),
        data: z
          .array(z.string().max(100_000))
          .min(1)
          .max(100)
          .optional()
          .describe('texts, each a push of the data output of a new transaction'),
        memo: z.string().max(10_000).optional().describe('a note that is kept beside the transaction'),
        id: NAME,
      }),
      outputSchema: z.object({ pool: z.string(), txid: z.string(), id: z.string().describe('of the entry'), running: z.boolean() }),
      annotations: { ...WRITES, idempotentHint: false },
    },
    ({ pool, transaction, data, memo, id }) =>
      answering(async () => {
        if ((transaction === undefined) === (data === undefined))
          throw new OverpoolError('BAD_ARGUMENT', 'give either a transaction or data to post')
        const machine = await door.machine()
        const payment = { transaction: transaction ?? dataTransaction(...data!), ...(memo !== undefined && { memo }) }
        const posted = await machine.pools.post({ path: pool, payment, ...(id !== undefined && { id }) })
        const running = machine.isRunning
        return answer({ pool, txid: posted.hash, id: posted.id, running }, `${posted.hash} posted to ${pool}${running ? '' : `; ${LATER}`}`)
      }),
  )
  server.registerTool(
    'broadcast',
    {
      title: 'Broadcast to Bitcoin',
      description:
        'Asks the machine to hand transactions to the Bitcoin network, in this order: entries of the pool by their txids, or transactions. This cannot be undone. What becomes of each, `transaction_status` says, and entries of the kind `status`.',
      inputSchema: z.strictObject({
        pool: POOL,
        txids: z.array(TXID).max(100).optional().describe('entries of this pool'),
        transactions: z.array(TRANSACTION).max(100).optional().describe('transactions that need not be in the pool'),
        id: NAME,
      }),
      outputSchema: z.object({ pool: z.string(), id: z.string(), txids: z.array(z.string()), running: z.boolean() }),
      annotations: { ...WRITES, destructiveHint: true },
    },
    ({ pool, txids = [], transactions = [], id }) =>
      answering(async () => {
        const what = [...txids.map((hash) => ({ path: pool, hash })), ...transactions]
        if (!what.length) throw new OverpoolError('BAD_ARGUMENT', 'give txids or transactions to broadcast')
        const machine = await door.machine()
        const asked = await machine.pools.broadcast(what, { path: pool, ...(id !== undefined && { id }) })
        const running = machine.isRunning
        return answer(
          { pool, id: asked.id, txids: asked.hashes, running },
          `asked for ${asked.hashes.join(', ')}${running ? '' : ', when the machine is started'}`,
        )
      }),
  )
}
