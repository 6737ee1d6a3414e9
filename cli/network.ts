import { setTimeout as wait } from 'node:timers/promises'
import { type PoolStatus, statusOf } from '../functions/handler/status.ts'
import { isRunning, readSeed } from '../local/folder.ts'
import { OverpoolError } from '../shared/errors.ts'
import { parseCapability } from '../shared/ledger/capability.ts'
import { machineKeyPair, poolKeys } from '../sidecar/core.ts'
import { createDht } from '../sidecar/swarm.ts'
import { publish, subscribe, unpublish, unsubscribe } from '../sidecar/wanted.ts'
import type { Common } from './commands.ts'
import { withFolder } from './folder.ts'

/** Between two looks of `status --watch`, ms. */
const WATCH_MS = 1_000

export async function pub(path: string, flags: { encrypt?: boolean; allow?: string[] }, { dir, out }: Common): Promise<void> {
  await withFolder(dir, async ({ pools, mirror }) => {
    const { secret } = poolKeys(readSeed(dir, false), path)
    const capability = await publish(await pools.control(path), secret, flags, mirror)
    out.show({ pool: path, capability, running: isRunning(dir) }, capability)
    out.say(`${path} is published${later(dir)}. Others follow it with: overpool sub ${capability}`)
  })
}

export async function unpub(path: string, { dir, out }: Common): Promise<void> {
  await withFolder(dir, async ({ pools, mirror }) => {
    await unpublish(await pools.control(path), mirror)
    out.show({ pool: path, published: false }, `${path} is offered no more; who has entries of it keeps them`)
  })
}

export async function sub(
  published: string,
  flags: { from?: 'start' | 'now' | number; peer?: string },
  { dir, out }: Common,
): Promise<void> {
  await withFolder(dir, async ({ mirror }) => {
    const { path, key } = await subscribe(published, flags, mirror, Date.now())
    out.show({ path, key, running: isRunning(dir) }, `${path} is followed${later(dir)}; \`overpool status\` shows how far it has come`)
  })
}

export async function unsub(published: string, { dir, out }: Common): Promise<void> {
  await withFolder(dir, async ({ pools, mirror }) => {
    const { key } = parseCapability(published)
    await unsubscribe(await pools.control(key), mirror)
    out.show({ path: key, subscribed: false }, `${key} is followed no more; what has come stays`)
  })
}

function later(dir: string): string {
  return isRunning(dir) ? '' : ', when the machine is started'
}

export async function status(flags: { watch?: boolean }, { dir, out }: Common, signal: AbortSignal): Promise<void> {
  await withFolder(dir, async ({ pools }) => {
    while (true) {
      const all = await statusOf(pools)
      const running = isRunning(dir)
      if (flags.watch) out.say('\u001bc') // clears the screen
      if (!running) out.say('no machine runs in this folder: peers are as it last saw them')
      if (!all.length) out.say('this machine has no pools yet')
      for (const pool of all) out.show({ ...pool, running }, linesOf(pool, running))
      if (!flags.watch || signal.aborted) return
      await wait(WATCH_MS, undefined, { signal }).catch(() => {})
    }
  })
}

function linesOf(
  { path, entries, published, subscribed, encrypted, allow, network, behind, halted }: PoolStatus,
  running: boolean,
): string {
  const peers = network && running ? `, ${network.peers} ${network.peers === 1 ? 'peer' : 'peers'}` : ''
  const lock = encrypted ? ', encrypted' : ''
  const ours = published
    ? `published${running ? (network?.announced ? ', announced' : ', not announced yet: no network?') : ''}${peers}${lock}`
    : 'not published'
  const theirs = subscribed
    ? `followed${peers}${lock}${behind === undefined ? '' : behind ? `, ${behind} blocks behind` : ', up to date'}`
    : 'not followed'
  const lines = [`${path}  ${entries} ${entries === 1 ? 'entry' : 'entries'}  ${published === undefined ? theirs : ours}`]
  if (allow) lines.push(`  only for: ${allow.join(', ') || 'nobody'}`)
  if (network?.skipped) lines.push(`  ${network.skipped} of its blocks passed over; the last: ${network.lastSkipped}`)
  if (halted !== undefined) lines.push(`  halted: ${halted}`)
  return lines.join('\n')
}

export async function id({ dir, out }: Common): Promise<void> {
  await withFolder(dir, async () => {
    const key = machineKeyPair(readSeed(dir, false)).publicKey.toString('hex')
    out.show({ id: key }, key)
  })
}

/** Runs a node of a DHT of one's own, from which others begin. */
export async function dht(
  flags: { port: number; host: string; bootstrap?: string[] },
  { out }: Common,
  signal: AbortSignal,
): Promise<void> {
  const node = createDht({ port: flags.port, host: flags.host, announce: flags.host, bootstrap: flags.bootstrap ?? [] })
  try {
    await node.fullyBootstrapped()
  } catch (cause) {
    throw new OverpoolError('PORT_IN_USE', `UDP port ${flags.port} cannot be had on ${flags.host}: choose another one with --port`, {
      cause,
    })
  }
  const address = `${flags.host}:${node.address().port}`
  out.show(
    { address },
    `a DHT node runs at ${address}; machines begin with it by \`network: { bootstrap: ['${address}'] }\` in their config. Ctrl-C stops it`,
  )
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  await node.destroy()
}

export async function trail(pool: string, txid: string, { dir, out }: Common): Promise<void> {
  await withFolder(dir, async ({ pools }) => {
    let last: Awaited<ReturnType<typeof pools.get>> | undefined
    for await (const event of pools.trail({ path: pool, hash: txid })) {
      const { path, seq, at, hash, source, hops } = event
      out.show(event, `${path} #${seq}  ${new Date(at).toISOString()}  ${hash}  ${source}${hops ? ` +${hops}` : ''}`)
      last = event
    }
    if (last?.cause) out.say(`  ${last.cause.key} #${last.cause.seq} is not in a pool that this machine follows`)
  })
}
