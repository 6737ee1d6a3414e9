import { existsSync, readFileSync } from 'node:fs'
import type { TxEvent } from '../functions/handler/event.ts'
import { nextEntry, type Redriven, redrive } from '../functions/handler/redrive.ts'
import { isRunning, readSeed } from '../local/folder.ts'
import { systemClock } from '../shared/clock.ts'
import { OverpoolError } from '../shared/errors.ts'
import { isPeerPool } from '../shared/ledger/capability.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { poolKeys } from '../sidecar/core.ts'
import { verifyPool } from '../sidecar/verify.ts'
import { resume } from '../sidecar/wanted.ts'
import { type Folder, withFolder } from './folder.ts'
import { count, type Out } from './out.ts'

/** Entries that a handler gave up, shown to people. */
const MAX_LISTED = 10
/** How often a follower looks though nothing told it to, ms. */
const LOOK_MS = 1_000

export interface Common {
  dir: string
  out: Out
}

export interface PostFlags {
  memo?: string
  merchantData?: string
  refundTo?: string
  id?: string
  sample?: boolean
}

export async function post(pool: string, transaction: string | undefined, flags: PostFlags, { dir, out }: Common): Promise<void> {
  const { memo, merchantData, refundTo, id } = flags
  const hex = flags.sample ? sampleTransaction(`overpool sample ${new Date().toISOString()}`) : readTransaction(transaction)
  await withFolder(dir, async ({ pools }) => {
    const posted = await pools.post({ path: pool, id, payment: { transaction: hex, memo, merchantData, refundTo } })
    const taken = isRunning(dir)
    out.show(
      { pool, hash: posted.hash, id: posted.id, running: taken },
      `${posted.hash} posted to ${pool}${taken ? '' : '; it enters the ledger when the machine is started'}`,
    )
  })
}

function readTransaction(from: string | undefined): string {
  if (from === undefined)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'say what to post: a transaction in hex, a file that holds it, - for standard input, or --sample',
    )
  if (from !== '-' && !existsSync(from)) {
    if (/^[0-9a-f]*$/i.test(from)) return from
    throw new OverpoolError('BAD_ARGUMENT', `"${from.slice(0, 80)}" is no transaction in hex, and there is no file of this name`)
  }
  try {
    return readFileSync(from === '-' ? 0 : from, 'utf8').trim()
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `${from} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

export async function tail(
  pool: string,
  flags: { number: number; follow?: boolean },
  { dir, out }: Common,
  signal: AbortSignal,
): Promise<void> {
  await withFolder(dir, async ({ pools, changed }) => {
    const events = await pools.tail({ path: pool, size: flags.number })
    for (const event of events) out.show(event, lineOf(event))
    if (!events.length && !flags.follow) out.say(`no entries in ${pool}`)
    let next = events.length ? events.at(-1)!.seq + 1 : await pools.length(pool)
    while (flags.follow && !signal.aborted) {
      await changed(LOOK_MS, signal)
      for await (const event of pools.read({ path: pool, from: next })) {
        out.show(event, lineOf(event))
        next = event.seq + 1
      }
    }
  })
}

export async function get(pool: string, txid: string, { dir, out }: Common): Promise<void> {
  await withFolder(dir, async ({ pools }) => {
    const event = await pools.get({ path: pool, hash: txid })
    out.show(event, JSON.stringify(event, undefined, 2))
  })
}

export async function pools({ dir, out }: Common): Promise<void> {
  await withFolder(dir, async (folder) => {
    const all = await folder.pools.list()
    if (!all.length) out.say('this machine has no pools yet')
    for (const { path, key, createdAt, wanted, halted } of all) {
      const entries = await folder.pools.length(path)
      const handlers = await handlerStates(folder, path, entries)
      const lines = [
        `${path}  ${count(entries, 'entry', 'entries')}  ${isPeerPool(path) ? (wanted?.subscribe ? 'followed' : 'not followed') : key}`,
        ...(halted ? [`  halted: ${halted}`] : []),
        ...handlers.map(({ line }) => line),
      ]
      out.show({ path, key, entries, createdAt, halted, handlers: handlers.map(({ state }) => state) }, lines.join('\n'))
    }
    const { waiting, inFlight } = await folder.ingress.depth()
    if (waiting + inFlight && !isRunning(dir))
      out.say(`${count(waiting + inFlight, 'post waits', 'posts wait')} for the machine to be started`)
  })
}

/** How far each handler is in a pool. */
export async function handlerStates(folder: Folder, pool: string, entries: number) {
  const handlers = await folder.mirror.listHandlers(pool)
  return Promise.all(handlers.map((handler) => handlerState(folder, handler, pool, entries)))
}

async function handlerState({ mirror }: Folder, handler: string, pool: string, entries: number) {
  const cursor = await mirror.readCursor(handler, pool)
  const { seq, stopped } = cursor
  const stoppedAt = stopped === undefined ? undefined : (await nextEntry(cursor, pool, mirror))?.seq
  const dead = await mirror.listDead(handler, pool)
  const state = { handler, done: seq + 1, waiting: entries - seq - 1, stopped, dead }
  const lines = [
    `  handler ${handler}: ${state.waiting ? `${count(state.waiting, 'entry', 'entries')} behind` : 'up to date'}`,
    ...(stopped === undefined ? [] : [`    stopped at #${stoppedAt ?? seq + 1}: ${stopped}`]),
    ...dead
      .slice(0, MAX_LISTED)
      .map((letter) => `    gave up #${letter.seq} after ${count(letter.attempts, 'attempt', 'attempts')}: ${letter.error}`),
    ...(dead.length > MAX_LISTED ? [`    and ${dead.length - MAX_LISTED} more (--json lists all)`] : []),
  ]
  return { state, line: lines.join('\n') }
}

/** @returns whether all is well */
export async function verify(path: string, { dir, out }: Common): Promise<boolean> {
  return withFolder(dir, async ({ pools, mirror, cores }) => {
    const pool = await pools.control(path)
    const secret = isPeerPool(path) ? pool.wanted?.secret : pool.wanted?.encrypt ? poolKeys(readSeed(dir, false), path).secret : undefined
    const store = cores()
    try {
      const verified = await verifyPool(pool, mirror, await store?.read(pool.key, secret), secret)
      const { blocks, entries, bytes, receipts, coreLength, passedOver, treeHash, signedBlocks, problems, listed } = verified
      const lines = [
        `${path}: ${count(entries, 'entry', 'entries')} in ${count(blocks, 'block', 'blocks')}, ${bytes} bytes`,
        `receipts   ${receipts} of ${entries}`,
        `hypercore  ${count(coreLength, 'block', 'blocks')}${coreLength < blocks ? ' (it is behind, and catches up while the machine runs)' : ''}`,
        `tree hash  ${treeHash ?? 'none yet'}`,
        `signed     ${signedBlocks ? `the first ${count(signedBlocks, 'block', 'blocks')}, by ${pool.key}` : 'nothing that is all here yet'}`,
        ...(passedOver ? [`${count(passedOver, 'block', 'blocks')} passed over`] : []),
        ...listed,
        problems ? `${count(problems, 'problem', 'problems')} found` : 'all of it agrees',
      ]
      out.show(verified, lines.join('\n'))
      return problems === 0
    } finally {
      await store?.close()
    }
  })
}

export async function resumePool(path: string, { dir, out }: Common): Promise<void> {
  await withFolder(dir, async ({ pools, mirror }) => {
    await resume(await pools.control(path), mirror)
    const later = isRunning(dir) ? '' : ', when the machine is started'
    out.show({ pool: path, halted: false }, `${path} goes on${later}; its hypercore is made again from the mirror`)
  })
}

export async function redrivePool(path: string, flags: { handler?: string; skip?: boolean }, { dir, out }: Common): Promise<void> {
  await withFolder(dir, async (folder) => {
    const { pools, mirror, queue } = folder
    await pools.control(path)
    const all = await mirror.listHandlers(path)
    if (flags.handler !== undefined && !all.includes(flags.handler)) {
      throw new OverpoolError(
        'HANDLER_NOT_FOUND',
        `no handler "${flags.handler}" has worked on "${path}"; there are: ${all.join(', ') || 'none'}`,
      )
    }
    if (!all.length) out.say(`no handler has worked on ${path} yet`)
    const later = isRunning(dir) ? '' : ', when the machine is started'
    for (const handler of flags.handler === undefined ? all : [flags.handler]) {
      const result = await redrive(handler, path, flags.skip ?? false, { mirror, bells: queue(handler), clock: systemClock })
      out.show(result, redriven(result, later))
    }
  })
}

/** What a handler will do, in words. */
function redriven({ handler, pool, dead, stoppedAt, skipped }: Redriven, later: string): string {
  if (!dead.length && stoppedAt === undefined) return `${handler}: there is nothing to do in ${pool}`
  if (skipped) return `${handler} passes over #${stoppedAt} and goes on${later}`
  const what = [
    ...(dead.length ? [`${count(dead.length, 'entry', 'entries')} that it gave up`] : []),
    ...(stoppedAt === undefined ? [] : [`#${stoppedAt}, where it stopped`]),
  ]
  return `${handler} tries again ${what.join(' and ')}${later}`
}

function lineOf({ seq, at, hash, source, hops, payment: { memo } }: TxEvent): string {
  return `#${seq}  ${new Date(at).toISOString()}  ${hash}  ${source}${hops ? ` +${hops}` : ''}${memo === undefined ? '' : `  ${JSON.stringify(memo)}`}`
}
