import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { paying } from '../invoice/pay.ts'
import { Program } from './program.ts'
import { type Effort, type Figures, median, number } from './report.ts'

/** Requests under way at once. */
const CONNECTIONS = 16
const MOST = 1.3

interface Asked {
  outputs: { amount: number; script: string }[]
  merchantData: string
}

/** One kind of request in one round: a second, and µs of the machine's processor each. */
interface Round {
  rate: number
  cpu: number
}

/** Asks a machine for payment requests and pages, and pays by turns what was asked for and what was not. */
export async function invoices({ smoke }: Effort): Promise<Figures> {
  const [rounds, count] = smoke ? [1, 50] : [7, 2_000]
  const dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  const program = await Program.start('invoices', dir)
  try {
    const [url, kept] = [await program.ask<string>('url'), await program.ask<string>('kept')]
    const seen = new Map<string, Round[]>()
    const measure = async (name: string, isCounted: boolean, times: number, one: (i: number) => Promise<unknown>) => {
      const [before, start] = [await cpuOf(program), performance.now()]
      let next = 0
      await Promise.all(
        Array.from({ length: CONNECTIONS }, async () => {
          while (next < times) await one(next++)
        }),
      )
      const rate = times / ((performance.now() - start) / 1_000)
      await settled(program)
      if (isCounted) seen.set(name, [...(seen.get(name) ?? []), { rate, cpu: ((await cpuOf(program)) - before) / times }])
    }
    const get = async (at: string, accept: string) => (await fetch(at, { headers: { accept } })).text()
    const post = async (payment: object) => {
      const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(payment) })
      if (!answer.ok) throw new Error(await answer.text())
      await answer.text()
    }
    for (let round = -1; round < rounds; round++) {
      const isCounted = round >= 0 // the first warms up
      const requests: Asked[] = []
      await measure('a fresh request, as JSON', isCounted, count, async (i) => {
        requests[i] = JSON.parse(await get(url, 'application/json')) as Asked
      })
      await measure('an invoice, as JSON', isCounted, count, () => get(kept, 'application/json'))
      await measure('an invoice, as a page', isCounted, count, () => get(kept, 'text/html'))
      const transactions = requests.map(({ outputs }) =>
        paying(outputs.map(({ amount, script }) => ({ satoshis: amount, script }))).toString('hex'),
      )
      const others = requests.map(({ outputs }) =>
        paying(outputs.map(({ amount, script }) => ({ satoshis: amount, script }))).toString('hex'),
      )
      await measure('a payment without an invoice', isCounted, count, (i) =>
        post({ transaction: others[i], merchantData: 'x'.repeat(requests[i]!.merchantData.length) }),
      )
      await measure('a payment of a request', isCounted, count, (i) =>
        post({ transaction: transactions[i], merchantData: requests[i]!.merchantData }),
      )
    }
    const of = (name: string, what: keyof Round) => median(seen.get(name)!.map((each) => each[what]))
    const ratio = median(seen.get('a payment of a request')!.map(({ cpu }, i) => cpu / seen.get('a payment without an invoice')![i]!.cpu))
    return {
      title: `invoices: ${CONNECTIONS} clients of fetch on this computer; medians of ${rounds} rounds of ${number(count)}`,
      rows: [
        ['', 'a second', 'µs of processor each'],
        ...[...seen.keys()].map((name) => [name, number(of(name, 'rate')), number(of(name, 'cpu'))]),
        ['a payment of a request to one without', '', number(ratio)],
      ],
      goals: [{ what: `a payment of a request takes at most ${MOST} times the processor time of one without`, met: ratio <= MOST }],
    }
  } finally {
    await program.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function cpuOf(program: Program): Promise<number> {
  const { user, system } = await program.ask<NodeJS.CpuUsage>('cpu')
  return user + system
}

/** Waits until the handler gets nothing more. */
async function settled(program: Program): Promise<void> {
  let [before, now] = [-1, await program.ask<number>('delivered')]
  while (now > before) {
    await wait(50)
    ;[before, now] = [now, await program.ask<number>('delivered')]
  }
}
