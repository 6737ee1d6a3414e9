import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { openFolder } from '../../client/folder.ts'
import { type Load, load } from './load.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number } from './report.ts'
import { SIGNED_BYTES, signed } from './transactions.ts'

const MB = 1024 * 1024
const CONNECTIONS = 64
/** The goal: this number of entries is verified in this time, s. */
const VERIFIED = 200_000
const VERIFIED_S = 3

/** The cost of a ledger: memory and disk after many posts over HTTP, the rate of retries compared with fresh posts, and the time to verify it. */
export async function ledger({ smoke }: Effort): Promise<Figures> {
  const [count, rounds, seconds] = smoke ? [1_000, 1, 0.5] : [100_000, 5, 2]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const machine = await Program.start('ledger', dir)
  try {
    const url = await machine.ask<string>('url')
    const rss = () => machine.ask<number>('memory')
    const atStart = await rss()
    let posted = 0
    let entries = 0
    const fresh = async (seconds: number) => {
      const done = await load(url, CONNECTIONS, seconds, () => signed(posted++))
      entries += done.latencies.length
      while ((await machine.ask<number>('delivered')) < entries) await wait(20)
      return done
    }
    let most = 0
    while (entries < count) {
      await fresh(smoke ? 0.1 : 1)
      most = Math.max(most, await rss())
    }
    const first = entries
    const running = bytesOf(dir) / entries
    const loads = { fresh: [] as Load[], inOrder: [] as Load[], anywhere: [] as Load[] }
    for (let round = 0; round < rounds; round++) {
      let i = Math.floor((first / rounds) * round)
      let far = 0
      loads.fresh.push(await fresh(seconds))
      loads.inOrder.push(await load(url, CONNECTIONS, seconds, () => signed(i++ % first)))
      loads.anywhere.push(await load(url, CONNECTIONS, seconds, () => signed((far++ * 7_919) % first)))
    }
    await machine.ask('close')
    const atRest = bytesOf(dir) / entries
    const verified = await verify(dir)
    const rate = (of: Load[]) => median(of.map(({ latencies, seconds }) => latencies.length / seconds))
    const verifySeconds = (verified.seconds / verified.entries) * VERIFIED
    return {
      title: `ledger: ${number(entries)} posts of ${SIGNED_BYTES}-byte transactions over HTTP, ${CONNECTIONS} connections, a handler attached; ${rounds} rounds of ${seconds} s by turns`,
      rows: [
        ['', 'figure', 'unit'],
        ['fresh posts', number(rate(loads.fresh)), 'a second'],
        ['retries, in their order', number(rate(loads.inOrder)), 'a second'],
        ['retries, from anywhere in the ledger', number(rate(loads.anywhere)), 'a second'],
        ['resident memory at the start', number(atStart / MB), 'MB'],
        [`resident memory at most, up to ${number(first)} posts`, number(most / MB), 'MB'],
        [`disk while it runs, after ${number(first)}`, number(running), 'bytes a transaction'],
        ['disk at rest', number(atRest), 'bytes a transaction'],
        [`verify of ${number(verified.entries)} entries`, number(verified.seconds), 's'],
      ],
      notes: [`A verification of ${number(VERIFIED)} entries would take ${number(verifySeconds)} s at this rate.`],
      goals: [
        { what: 'every entry is verified, and nothing wrong is found', met: verified.entries === entries && verified.problems === 0 },
        { what: `${number(VERIFIED)} entries verified in ${VERIFIED_S} s`, met: verifySeconds <= VERIFIED_S },
        { what: 'retries in their order as fast as fresh posts', met: rate(loads.inOrder) >= rate(loads.fresh) },
        { what: 'resident memory under 200 MB', met: most < 200 * MB },
        { what: 'at most 500 bytes a transaction at rest', met: atRest <= 500 },
      ],
    }
  } finally {
    await machine.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function verify(dir: string): Promise<{ seconds: number; entries: number; problems: number }> {
  await using machine = openFolder(dir)
  const begun = performance.now()
  const { entries, problems } = await machine.verify('mypool')
  return { seconds: (performance.now() - begun) / 1_000, entries, problems }
}

/** The size of all files in a folder. */
function bytesOf(dir: string): number {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
  return files.reduce((sum, { parentPath, name }) => sum + (statSync(join(parentPath, name), { throwIfNoEntry: false })?.size ?? 0), 0)
}
