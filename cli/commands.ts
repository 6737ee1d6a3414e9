import { existsSync, readFileSync } from 'node:fs'
import type { RemoteMachine } from '../client/remote.ts'
import { type CheckedSettings, checkPool } from '../shared/config/config.ts'
import { messageOf, OverpoolError } from '../shared/errors.ts'
import type { LedgerEvent } from '../shared/ledger/event.ts'
import { type HandlerHealth, handlersOf, problemsOf } from '../shared/machine/health.ts'
import type { Kinds } from '../shared/machine/pools.ts'
import type { TransactionLike } from '../shared/machine/post.ts'
import type { Redriven, RedriveOptions } from '../shared/machine/progress.ts'
import { inLine } from '../shared/printed.ts'
import { dataTransaction } from '../shared/transaction/index.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import type { Verified } from '../sidecar/cores/verify.ts'
import { readConfig } from './config.ts'
import { type Where, withMachine } from './machine.ts'
import { count, type Out } from './out.ts'

/** How many dead letters of a handler are shown to people. */
const MAX_LISTED = 10
/** How often `tail -f` looks for entries without being notified, ms. */
const LOOK_MS = 1_000

export interface CommandContext<Place extends Where = Where> {
  where: Place
  out: Out
}

export interface PostFlags {
  memo?: string
  merchantData?: string
  refundTo?: string
  id?: string
  sample?: boolean
  filter?: boolean
  config: string
  data?: string[]
}

/** Posts a transaction. @param input standard input, if it was read */
export async function post(
  pool: string,
  transaction: string | undefined,
  flags: PostFlags,
  { where, out }: CommandContext,
  input?: Buffer,
): Promise<void> {
  const { memo, merchantData, refundTo, id } = flags
  const sent = transactionOf(transaction, flags, input)
  const settings = flags.filter ? await settingsOf(pool, flags.config) : undefined
  await withMachine(
    where,
    async (machine) => {
      const posted = await machine.pools.post({ path: pool, id, payment: { transaction: sent, memo, merchantData, refundTo } })
      const taken = machine.isRunning
      out.show(
        { pool, hash: posted.hash, id: posted.id, running: taken },
        `${posted.hash} posted to ${pool}${taken ? '' : '; it enters the ledger when the machine is started'}`,
      )
    },
    settings,
  )
}

/** Asks for transactions to be broadcast: entries of the pool by their txids, or transactions. */
export async function broadcast(pool: string, names: string[], flags: { id?: string }, { where, out }: CommandContext): Promise<void> {
  const what = names.map((name) => (/^[\da-f]{64}$/i.test(name) ? { path: pool, hash: name } : readTransaction(name)))
  await withMachine(where, async (machine) => {
    const asked = await machine.pools.broadcast(what, { path: pool, id: flags.id })
    const when = machine.isRunning ? '' : ' when the machine is started'
    out.show(
      { pool, id: asked.id, hashes: asked.hashes, running: machine.isRunning },
      `${count(names.length, 'transaction goes', 'transactions go')} to the network${when}; \`overpool tail ${pool} --kinds status -f\` shows what becomes of ${names.length === 1 ? 'it' : 'them'}`,
    )
  })
}

/** Has the chain follower look for transactions for a pool. */
export async function watch(pool: string, { address, script, outpoint }: WatchFlags, { where, out }: CommandContext): Promise<void> {
  if (!address && !script && !outpoint) throw new OverpoolError('BAD_ARGUMENT', 'say what to watch: --address, --script or --outpoint')
  await withMachine(where, async (machine) => {
    await machine.control.watch(pool, { addresses: address, scripts: script, outpoints: outpoint })
    const { watch: wanted = {} } = await machine.pools.control(pool)
    const sum = Object.values(wanted).reduce((all, list) => all + (list?.length ?? 0), 0)
    out.show(
      { pool, watch: wanted },
      `${pool} watches ${count(sum, 'address, script or output', 'addresses, scripts and outputs')} on the chain${later(machine)}`,
    )
  })
}

export interface WatchFlags {
  address?: string[]
  script?: string[]
  outpoint?: string[]
}

/** The settings of a pool in a config, with its filter. */
async function settingsOf(pool: string, file: string): Promise<CheckedSettings> {
  const { pools } = await readConfig(file)
  if (Object.hasOwn(pools, pool)) return checkPool(pools[pool]!, `pools.${pool}`)
  throw new OverpoolError('BAD_ARGUMENT', `${file} names no pool "${pool}", so there is no filter to ask`)
}

function transactionOf(from: string | undefined, { sample, data }: PostFlags, input?: Buffer): TransactionLike {
  if ([from !== undefined, sample, data].filter(Boolean).length > 1)
    throw new OverpoolError('BAD_ARGUMENT', 'say one thing to post: a transaction, --sample, or --data')
  if (data) return dataTransaction(...data)
  return sample ? sampleTransaction(`overpool sample ${new Date().toISOString()}`) : readTransaction(from, input)
}

/** Base64 that is no name of a file. */
const BASE64 = /^[\w+/-]{16,}={0,2}$/

/** A transaction in any format: hex or base64 as an argument; a file may also hold bytes, or a list of them in JSON. */
function readTransaction(from: string | undefined, input?: Buffer): TransactionLike {
  if (from === undefined)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'say what to post: a transaction in hex, a file that holds it, - for standard input, --data with texts, or --sample',
    )
  if (from !== '-' && !existsSync(from)) {
    if (/^[0-9a-f]*$/i.test(from) || BASE64.test(from)) return from
    throw new OverpoolError('BAD_ARGUMENT', `"${from.slice(0, 80)}" is no transaction in hex, and there is no file of this name`)
  }
  const bytes = input ?? readInput(from)
  try {
    return isList(bytes) ? (JSON.parse(bytes.toString()) as number[]) : bytes
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `${from} cannot be read: ${messageOf(cause)}`, { cause })
  }
}

/** @param from a file, or - for standard input */
export function readInput(from: string): Buffer {
  try {
    return readFileSync(from === '-' ? 0 : from)
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `${from} cannot be read: ${messageOf(cause)}`, { cause })
  }
}

/** A list of bytes in JSON. No transaction consists of such characters. */
function isList(bytes: Buffer): boolean {
  return /^\s*\[[\s\d,]*\]\s*$/.test(bytes.toString('latin1'))
}

export async function tail(
  pool: string,
  flags: { number: number; follow?: boolean; kinds?: Kinds },
  { where, out }: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  await withMachine(where, async (machine) => {
    const { pools } = machine
    const { kinds = ['tx'] } = flags
    let next = await pools.tailStart({ path: pool, size: flags.number, kinds })
    const begin = next
    const showNew = async () => {
      // One after the other: an entry may have 5 MB, and ten times that when it is parsed.
      for await (const event of pools.read({ path: pool, from: next, kinds })) {
        out.show(event, lineOf(event))
        await out.drained()
        next = event.seq + 1
      }
    }
    await showNew()
    if (next === begin && !flags.follow) out.say(`no entries in ${pool}`)
    while (flags.follow && !signal.aborted) {
      await machine.changed(LOOK_MS, signal)
      await showNew()
    }
  })
}

export async function get(pool: string, txid: string, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async ({ pools }) => {
    const event = await pools.get({ path: pool, hash: txid })
    out.show(event, JSON.stringify(event, undefined, 2))
  })
}

/** @returns whether all is well */
export async function pools({ where, out }: CommandContext): Promise<boolean> {
  return withMachine(where, async (machine) => {
    const all = await machine.pools.list()
    if (!all.length) out.say('this machine has no pools yet')
    let isWell = true
    for (const pool of all) {
      const { path, kind, key, createdAt, desired, halted } = pool
      const entries = await machine.pools.length(path)
      const handlers = await handlersOf(path, entries, machine.stores)
      const problems = problemsOf(pool, handlers)
      isWell &&= !problems.length
      const lines = [
        `${path}  ${count(entries, 'entry', 'entries')}  ${kind === 'peer' ? (desired?.subscribe ? 'followed' : 'not followed') : key}`,
        ...(halted ? [`  halted: ${inLine(halted)}`] : []),
        ...handlers.map(linesOfHandler),
      ]
      out.show({ path, key, entries, createdAt, halted, handlers, problems }, lines.join('\n'))
    }
    const { waiting, inFlight } = await machine.ingress.depth()
    if (waiting + inFlight && !machine.isRunning)
      out.say(`${count(waiting + inFlight, 'post waits', 'posts wait')} for the machine to be started`)
    return isWell
  })
}

/** The state of a handler in a pool, as lines for people. */
export function linesOfHandler({ handler, waiting, stopped, stoppedAt, paused, pausedAt = 0, dead }: HandlerHealth): string {
  return [
    `  handler ${handler}: ${waiting ? `${count(waiting, 'entry', 'entries')} behind` : 'up to date'}`,
    ...(paused === undefined ? [] : [`    paused since ${new Date(pausedAt).toISOString()}${paused && `: ${inLine(paused)}`}`]),
    ...(stopped === undefined ? [] : [`    stopped at #${stoppedAt}: ${inLine(stopped)}`]),
    ...dead
      .slice(0, MAX_LISTED)
      .map((letter) => `    gave up #${letter.seq} after ${count(letter.attempts, 'attempt', 'attempts')}: ${inLine(letter.error)}`),
    ...(dead.length > MAX_LISTED ? [`    and ${dead.length - MAX_LISTED} more (--json lists all)`] : []),
  ].join('\n')
}

export async function prune(pool: string, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async ({ pools }) => {
    await pools.prune(pool)
    const { prunedBefore } = await pools.control(pool)
    out.show(
      { pool, prunedBefore },
      `${count(prunedBefore, 'entry is', 'entries are')} archived in ${pool}; \`overpool get\` finds what is archived`,
    )
  })
}

/** @returns whether all is well */
export async function verify(path: string, { where, out }: CommandContext): Promise<boolean> {
  return withMachine(where, async (machine) => {
    const progress = out.progress('verified', 'entries')
    const verified = await machine.verify(path, progress.show).finally(progress.end)
    out.show(verified, [`${path}: ${contentsOf(verified)}`, ...proofsOf(verified)].join('\n'))
    return verified.problems === 0
  })
}

function contentsOf({ entries, blocks, bytes }: Verified): string {
  return `${count(entries, 'entry', 'entries')} in ${count(blocks, 'block', 'blocks')}, ${bytes} bytes`
}

function proofsOf(verified: Verified): string[] {
  const { key, blocks, entries, receipts, coreLength, passedOver, treeHash, signedBlocks, reportedBlocks, problems, listed } = verified
  const { publisherFaults, publisherListed } = verified
  const behind = coreLength < blocks ? ' (it is behind, and catches up while the machine runs)' : ''
  const first = (n: number) => (n === 1 ? 'the first block' : `the first ${n} blocks`)
  const proof =
    reportedBlocks === undefined
      ? `signed     ${signedBlocks ? `${first(signedBlocks)}, by ${key}` : 'nothing that is all here yet'}`
      : `in mirror  ${reportedBlocks ? `${first(reportedBlocks)} ${reportedBlocks === 1 ? 'has' : 'have'} that tree hash` : 'nothing that has been reported yet'}`
  return [
    `receipts   ${receipts} of ${entries}`,
    `hypercore  ${count(coreLength, 'block', 'blocks')}${behind}`,
    `tree hash  ${treeHash ?? 'none yet'}`,
    proof,
    ...(passedOver ? [`${count(passedOver, 'block', 'blocks')} passed over`] : []),
    ...publisherListed.map((what) => `its publisher has signed it so: ${inLine(what)}`),
    ...(publisherFaults ? [`${count(publisherFaults, 'fault', 'faults')} of its publisher; this machine has kept what was signed`] : []),
    ...listed.map(inLine),
    problems ? `${count(problems, 'problem', 'problems')} found` : 'all of it agrees',
  ]
}

export async function resumePool(path: string, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    await machine.control.resume(path)
    out.show({ pool: path, halted: false }, `${path} goes on${later(machine)}; its hypercore is made again from the mirror`)
  })
}

export async function repairPool(path: string, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    const done = await machine.repair(path)
    const kept = done?.aside === undefined ? '' : `; the damaged bytes are kept in ${done.aside}`
    const lost = done?.lost.length
      ? `; ${count(done.lost.length, 'block', 'blocks')} could not be had anywhere, so handlers pass over the entries as dead letters: ${done.lost.join(', ')}${kept}`
      : ''
    const what = done && (done.repaired || lost ? `${count(done.repaired, 'block', 'blocks')} repaired${lost}` : 'no block is damaged')
    out.show(
      { pool: path, ...done },
      done ? `${path}: ${what}` : `${path} ${machine.isRunning ? 'is being repaired' : 'is repaired'}${later(machine)}`,
    )
  })
}

export async function redrivePool(path: string, flags: RedriveOptions, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    const results = await machine.redrive(path, flags)
    if (!results.length) out.say(`no handler has worked on ${path} yet`)
    for (const result of results) out.show(result, redriven(result, later(machine)))
  })
}

export async function pauseHandler(pool: string, { handler, reason = '' }: PauseFlags, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    await machine.pause(pool, handler, reason)
    out.show(
      { pool, handler, paused: true, reason },
      `${handler} is paused in ${pool}: it finishes its current entry. \`overpool unpause ${pool} --handler ${handler}\` lets it go on`,
    )
  })
}

export async function unpauseHandler(pool: string, { handler }: PauseFlags, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    const wasPaused = await machine.unpause(pool, handler)
    out.show(
      { pool, handler, paused: false, wasPaused },
      wasPaused ? `${handler} goes on in ${pool}${later(machine)}` : `${handler} was not paused in ${pool}`,
    )
  })
}

export interface PauseFlags {
  handler: string
  reason?: string
}

/** A machine that is stopped does it when it is started. */
export function later(machine: RemoteMachine): string {
  return machine.isRunning ? '' : ', when the machine is started'
}

/** Says what a redriven handler does next. */
function redriven({ handler, pool, dead, stoppedAt, skipped, dropped, paused }: Redriven, running: string): string {
  const later = paused === undefined ? running : `, when it is unpaused${paused && ` (paused: ${inLine(paused)})`}`
  if (!dead.length && stoppedAt === undefined) return `${handler}: there is nothing to do in ${pool}`
  if (dropped) return `${handler}: ${count(dead.length, 'entry', 'entries')} that it gave up will not be tried again`
  if (skipped) return `${handler} passes over #${stoppedAt} and goes on${later}`
  const what = [
    ...(dead.length ? [`${count(dead.length, 'entry', 'entries')} that it gave up`] : []),
    ...(stoppedAt === undefined ? [] : [`#${stoppedAt}, where it stopped`]),
  ]
  return `${handler} tries again ${what.join(' and ')}${later}`
}

/** An entry as a line: its number and time, then what its kind says. */
function lineOf(event: LedgerEvent): string {
  return `#${event.seq}  ${new Date(event.at).toISOString()}  ${detailsOf(event)}`
}

function detailsOf(event: LedgerEvent): string {
  switch (event.kind) {
    case 'tx': {
      const { hash, source, hops, payment } = event
      const fate = event.status === 'local' ? '' : `  ${statusText(event)}`
      return `${hash}  ${source}${hops ? ` +${hops}` : ''}${fate}${payment.memo === undefined ? '' : `  ${JSON.stringify(payment.memo)}`}`
    }
    case 'commit':
      return `commit  ${count(event.of.length, 'transaction', 'transactions')} to broadcast`
    case 'status':
      return `status  ${event.of.txid}  ${statusText({ ...event, proven: event.proof && true })}${event.by === undefined ? '' : `, says ${inLine(event.by)}`}`
    case 'block':
      return `block  ${event.height}  ${event.hash}  ${count(event.count, 'transaction', 'transactions')} of this pool`
    case 'reorg':
      return `reorg  ${count(event.undone.length, 'block', 'blocks')} taken back, down to ${event.to.height}`
    case 'invoice':
      return `invoice  ${inLine(event.invoice.id)}  ${inLine(event.invoice.state)}, ${count(event.invoice.received, 'satoshi', 'satoshis')} had come`
    case 'unknown':
      return `${inLine(event.named)}  of a kind that this version does not know`
  }
}

/** A status for people: `mined in 870123`, `mined in 870123, unproven`, `rejected: …`. */
function statusText({ status, height, proven, reason }: { status: string; height?: number; proven?: true; reason?: string }): string {
  const place = height === undefined ? '' : ` in ${height}`
  const proof = status === 'mined' && !proven ? ', unproven' : ''
  return `${inLine(status)}${place}${proof}${reason === undefined ? '' : `: ${inLine(reason)}`}`
}
