import { existsSync } from 'node:fs'
import { createMachine } from '../client/folder.ts'
import { folderLayout, makeFolder, readSeed } from '../local/folder.ts'
import { systemClock } from '../shared/clock.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { TxEvent } from '../shared/ledger/event.ts'
import { shardOfChainPool } from '../shared/ledger/pool.ts'
import { parsePoolAddress } from '../shared/ledger/pool-address.ts'
import { handlersOf, problemsOf } from '../shared/machine/health.ts'
import { type PoolStatus, statusOf } from '../shared/machine/status.ts'
import { inLine } from '../shared/printed.ts'
import type { PoolControl } from '../shared/store/control.ts'
import { machineKeyPair } from '../sidecar/cores/core.ts'
import { createDht } from '../sidecar/peers/swarm.ts'
import { type CommandContext, later, linesOfHandler } from './commands.ts'
import { withMachine } from './machine.ts'
import { count } from './out.ts'

/** `status --watch` shows the state this often, ms. */
const WATCH_MS = 1_000

export async function pub(path: string, flags: { encrypt?: boolean; allow?: string[] }, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    const address = await machine.control.publish(path, flags)
    out.show({ pool: path, capability: address, running: machine.isRunning }, address)
    out.say(`${path} is published${later(machine)}; others follow it with \`overpool sub\` and the ${keysOf(address)} above`)
  })
}

export async function unpub(path: string, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    await machine.control.unpublish(path)
    out.show({ pool: path, published: false }, `${path} is offered no more; who has entries of it keeps them`)
  })
}

export async function sub(
  published: string,
  flags: { from?: 'start' | 'now' | number; peer?: string },
  { where, out }: CommandContext,
): Promise<void> {
  parsePoolAddress(published) // a wrong key makes no machine
  if (where.stack === undefined && createMachine(where.dir))
    out.say(`there was no machine in ${where.dir}: now there is one, and \`overpool start\` runs it`)
  await withMachine(where, async (machine) => {
    const { path, key } = await machine.control.subscribe(published, flags)
    out.show(
      { path, key, running: machine.isRunning },
      `${path} is followed${later(machine)}; \`overpool status\` shows how far it has come`,
    )
  })
}

export async function unsub(published: string, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async (machine) => {
    await machine.control.unsubscribe(published)
    const { key } = parsePoolAddress(published)
    out.show({ path: key, subscribed: false }, `${key} is followed no more; what has come stays`)
  })
}

/** @returns whether all is well */
export async function status(flags: { watch?: boolean }, { where, out }: CommandContext, signal: AbortSignal): Promise<boolean> {
  return withMachine(where, async (machine) => {
    while (true) {
      let isWell = true
      const all = await statusOf(machine.pools)
      const handlers = await Promise.all(all.map(({ path, entries }) => handlersOf(path, entries, machine.stores)))
      const running = machine.isRunning
      if (flags.watch) out.clear()
      if (!running) out.say('no machine runs in this folder: so it was when the last one stopped')
      if (!all.length) out.say('this machine has no pools yet')
      const chain = await machine.pools.chain()
      for (const pool of chain) {
        const problems = problemsOf(pool, [])
        out.show({ chain: pool.chain, problems }, linesOfChain(pool).join('\n'))
        if (problems.length) isWell = false
      }
      const problems = all.map((pool, i) => problemsOf(pool, handlers[i]!))
      for (const [i, pool] of all.entries()) {
        const troubled = handlers[i]!.filter(
          ({ waiting, dead, stopped, paused }) => waiting || dead.length || (stopped ?? paused) !== undefined,
        )
        out.show(
          { ...pool, running, handlers: handlers[i]!, problems: problems[i] },
          [...linesOf(pool, running), ...troubled.map(linesOfHandler)].join('\n'),
        )
      }
      if (!flags.watch || signal.aborted) return isWell && problems.flat().length === 0
      await systemClock.sleep(WATCH_MS, signal)
    }
  })
}

/** How far the machine has followed the chain. */
function linesOfChain({ path, chain = {}, halted }: PoolControl): string[] {
  const { source, height, blockAt, problem, since } = chain
  const shard = shardOfChainPool(path)
  const block = height === undefined ? 'no block yet' : `block ${height}, of ${new Date(blockAt!).toISOString()}`
  return [
    `chain${shard ? ` (shard ${shard})` : ''}  ${block}${source === undefined ? '' : `, by ${source}`}`,
    ...(problem === undefined ? [] : [`  not followed since ${new Date(since!).toISOString()}: ${inLine(problem)}`]),
    ...(halted === undefined ? [] : [`  halted: ${inLine(halted)}`]),
  ]
}

function linesOf(pool: PoolStatus, running: boolean): string[] {
  const { path, entries, published, encrypted, allow, network, halted } = pool
  const stands = published === undefined ? followed(pool, running) : offered(pool, running)
  return [
    `${path}  ${count(entries, 'entry', 'entries')}  ${stands}${encrypted ? ', encrypted' : ''}`,
    ...(published && allow ? [`  only for: ${allow.join(', ') || 'nobody'}`] : []),
    ...(network?.skipped
      ? [`  ${count(network.skipped, 'block of it was', 'blocks of it were')} passed over, the last: ${inLine(network.lastSkipped ?? '')}`]
      : []),
    ...(halted === undefined ? [] : [`  halted: ${inLine(halted)}`]),
    ...(pool.chain?.problem === undefined ? [] : [`  takes nothing from the chain: ${inLine(pool.chain.problem)}`]),
    ...(halted !== undefined && pool.subscribed ? [`  \`overpool sub\` tries it anew, when its publisher has mended it`] : []),
  ]
}

function offered({ published, network, halted }: PoolStatus, running: boolean): string {
  if (!published) return 'not published'
  if (halted !== undefined) return 'published, but not offered as it is'
  if (!running) return 'published'
  const verified =
    network?.verifiedAt === undefined ? '' : ` (verified ${Math.max(0, Math.round((Date.now() - network.verifiedAt) / 1_000))} s ago)`
  if (network?.announced) return `published, announced${verified}, ${count(network.peers, 'peer', 'peers')}`
  if (verified && !network?.problem) return `published, but nobody new finds it now${verified}: it is announced again`
  return `published, not announced yet: ${inLine(network?.problem ?? 'nobody in the network has answered')}`
}

function followed({ subscribed, network, behind, halted }: PoolStatus, running: boolean): string {
  if (!subscribed) return 'not followed'
  if (halted !== undefined) return 'followed no further'
  const lag = behind ? `, ${count(behind, 'block', 'blocks')} behind` : ''
  if (!running) return `followed${lag}`
  if (!network?.peers) return `followed, ${inLine(network?.problem ?? 'nobody who has it is connected')}${lag}`
  return `followed, ${count(network.peers, 'peer', 'peers')}${lag || ', up to date'}`
}

/** A machine on AWS has one key for each shard. */
export async function id({ where, out }: CommandContext): Promise<void> {
  const keys = where.stack === undefined ? [idOfFolder(where.dir)] : await withMachine(where, (machine) => machine.ids())
  for (const key of keys) out.show({ id: key }, key)
}

/** Makes the machine's seed if there is none: others may need the key before the machine is first started. */
function idOfFolder(dir: string): string {
  makeFolder(dir)
  const seed = readSeed(dir, !existsSync(folderLayout(dir).ledger))
  return machineKeyPair(seed).publicKey.toString('hex')
}

/** Runs a node of a private DHT; other nodes bootstrap from it. */
export async function dht(
  flags: { port: number; host: string; bootstrap?: string[] },
  { out }: Pick<CommandContext, 'out'>,
  signal: AbortSignal,
): Promise<void> {
  const node = createDht({ port: flags.port, host: flags.host, announce: flags.host, bootstrap: flags.bootstrap ?? [] })
  try {
    await node.fullyBootstrapped()
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
    throw isTaken
      ? new OverpoolError('PORT_IN_USE', `UDP port ${flags.port} is taken by another program: choose another one with --port`, { cause })
      : new OverpoolError('BAD_ARGUMENT', `${flags.host} is no address of this host: name one with --host`, { cause })
  }
  const address = `${flags.host}:${node.address().port}`
  out.show(
    { address },
    `a DHT node runs at ${address}; machines begin with it by \`network: { bootstrap: ['${address}'] }\` in their config. Ctrl-C stops it`,
  )
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  await node.destroy()
}

export async function trail(pool: string, txid: string, { where, out }: CommandContext): Promise<void> {
  await withMachine(where, async ({ pools }) => {
    const seen: TxEvent[] = []
    for await (const event of pools.trail({ path: pool, hash: txid })) {
      const { path, seq, at, hash, source, hops } = event
      out.show(event, `${path} #${seq}  ${new Date(at).toISOString()}  ${hash}  ${source}${hops ? ` +${hops}` : ''}`)
      seen.push(event)
    }
    const cause = seen.at(-1)?.cause
    if (!cause) return
    const known = (await pools.list()).some(({ key }) => key === cause.key)
    const isCircle = seen.some(({ key, seq }) => key === cause.key && seq === cause.seq)
    const why = isCircle ? 'stands above: it goes round' : known ? 'has not come here' : 'is in a pool that this machine does not follow'
    out.say(`  ${cause.key} #${cause.seq} ${why}`)
  })
}

function keysOf(address: string): string {
  return address.includes('.') ? 'keys' : 'key'
}
