import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedMachine } from '../../local/machine.ts'
import { lineOf } from '../../local/report.ts'
import type { BitcoinSettings } from '../../shared/config/bitcoin.ts'
import type { LedgerEvent } from '../../shared/ledger/event.ts'

// A machine that is killed again and again (kill.test.ts): it takes payments to the network, and its handler writes down what it gets.
const { dir, bitcoin, script } = JSON.parse(process.argv[2]!) as { dir: string; bitcoin: BitcoinSettings; script: string }
const write = (file: string, line: string) => appendFileSync(join(dir, file), `${line}\n`)
const note = ({ path, seq, kind }: LedgerEvent) => write('events', `${path} ${seq} ${kind}`)
write('events', 'life')
const machine = await EmbeddedMachine.open({
  dir: join(dir, 'ledger'),
  bitcoin,
  report: (report) => {
    const line = lineOf(report)
    if (line !== undefined) write('reports', line)
  },
})
await machine.handle({
  name: 'notes',
  takes: () => true,
  functions: {
    status: note,
    block: note,
    reorg: note,
    async tx(event, pools) {
      if (event.path === 'asked') await pools.broadcast(event)
      note(event)
    },
  },
})
await machine.create('always', { commit: 'always' })
await machine.create('asked')
await machine.create('chosen', { commit: () => true })
await machine.create('grid', { grid: { chain: { filter: { scripts: [script] } } } })
process.on('message', async (sent: { path: string; payment: string; id: string } | 'close') => {
  if (sent === 'close') {
    await machine.close()
    process.exit()
  }
  const { path, payment, id } = sent
  await machine.pools.post({ path, payment: { transaction: payment }, id })
  write('posted', id)
})
process.send!('ready')
