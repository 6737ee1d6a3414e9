import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { aws } from './aws.ts'
import { chain } from './chain.ts'
import { commit } from './commit.ts'
import { formats } from './formats.ts'
import { functions } from './functions.ts'
import { http } from './http.ts'
import { invoices } from './invoices.ts'
import { ledger } from './ledger.ts'
import { memory } from './memory.ts'
import { page } from './page.ts'
import { push } from './push.ts'
import { rebuild } from './rebuild.ts'
import { type Bench, type Effort, median, number, textOf } from './report.ts'
import { runs } from './runs.ts'
import { scale } from './scale.ts'
import { scanner } from './scanner.ts'
import { sidecar } from './sidecar.ts'
import { state } from './state.ts'
import { studio } from './studio.ts'
import { swarm } from './swarm.ts'
import { writer } from './writer.ts'

const BENCHES: Record<string, Bench> = {
  http,
  ledger,
  writer,
  scanner,
  formats,
  chain,
  commit,
  scale,
  swarm: (effort) => swarm(effort),
  aws,
  functions,
  sidecar,
  rebuild,
  memory,
  page,
  studio,
  invoices,
  state,
  push,
  runs,
}

const HELP = `Usage: npm run bench -- [names] [--smoke]

Measures this machine, and says which of its goals it has met; all of them take about a quarter of an hour.

  http      posts/s, the time to an ACK and what a post costs, compared with a bare floor and the original Overpool (npm installs it into your cache folder)
  ledger    what a ledger costs: memory, disk, retries compared with fresh posts, and the time to verify it
  writer    entries/s of the writer alone, one pool, with a mirror that takes 5 ms a call
  scanner   transactions/s of the strict scanner, compared with @bsv/sdk
  formats   MB/s of the scanners of the extended format and of BEEF, compared with @bsv/sdk
  chain     transactions/s of the filter over a block of 100,000, compared with @bsv/sdk, and memory with a block of 10 MB and of 1 GB; a machine over
            1 million recorded transactions, compared with bpu (npm installs it into your cache folder); from a node's ZMQ to the handler's call
  commit    payments/s to the network through a real Bitcoin node, requests to it, and how soon 10,000 payments of one block are known to be mined
  scale     cost of an entry, memory and restart with 10 thousand, 100 thousand and 1 million entries in a pool
  swarm     pools that are replicated between machines: first contact, catch-up, live, restarts, and compared with the original
  aws       requests, bytes and $ per million payments at four rates, and $ a month at rest, in the deployed shape
  functions the bundles of the functions: size, start, memory, and the time of a warm payment
  sidecar   memory of the sidecar's process with a hundred pools
  rebuild   how soon a sidecar with an empty disk has a pool of 1 million entries again
  memory    memory of machines that publish and follow a gigabyte of large blocks (Linux)
  page      the page of an invoice: its size, and in chromium its first paint and layout shift
  invoices  payment requests and pages a second, and the cost of a payment that pays what was asked for, compared with one that does not
  state     entries a second of a handler with a state, compared with one without and one with a SQLite file of its own; and of a replay
  push      1,000 followers of one pool: how late they get what is posted, and what they take of the machine's memory
  studio    the studio: its size, and in chromium the time to its first data, and the time of a frame while 100,000 entries scroll
  runs      posts/s with the runs of the handler recorded, compared with a machine that records none

  --smoke   only shows that they run: seconds, small sizes, no goals
  --help    this text

Exit code 1 if a goal was missed.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
})
const unknown = positionals.filter((name) => !(name in BENCHES))
if (values.help) {
  console.log(HELP)
} else if (unknown.length) {
  console.error(`there is no bench ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`)
  process.exitCode = 2
} else {
  await run(positionals.length ? positionals : Object.keys(BENCHES), { smoke: values.smoke ?? false })
}

async function run(names: string[], effort: Effort): Promise<void> {
  console.log(
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? '?'}), Node ${process.version}, fsync in ${tmpdir()} ${number(fsyncMs())} ms`,
  )
  for (const name of names) {
    try {
      for (const figures of [await BENCHES[name]!(effort)].flat()) {
        console.log(textOf(figures, effort))
        if (!effort.smoke && figures.goals.some(({ met }) => !met)) process.exitCode = 1
      }
    } catch (error) {
      console.error(`\n${name} could not be measured:`, error) // the other benches still run
      process.exitCode = 1
    }
  }
}

/** The cost of a durable write here: the median time of an fsync after a small write. */
function fsyncMs(): number {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const fd = openSync(join(dir, 'file'), 'w')
  const times = Array.from({ length: 100 }, () => {
    writeSync(fd, Buffer.alloc(4_096))
    const start = performance.now()
    fsyncSync(fd)
    return performance.now() - start
  })
  closeSync(fd)
  rmSync(dir, { recursive: true })
  return median(times)
}
