import { EmbeddedMachine } from '../../../local/machine.ts'
import { idlePorts } from '../../../local/ports.ts'
import { answer } from '../program.ts'

// A machine with one handler, whose runs are recorded ('with'), or not ('without').

const [dir = '', how] = process.argv.slice(2)
const machine = await EmbeddedMachine.open({
  dir,
  report(report) {
    if (report.kind !== 'block') console.error(report)
  },
  ports: async (dir) => ({ ...(await idlePorts(dir)), ...(how === 'without' && { runs: undefined }) }),
})
const delivered = new Set<string>()
await machine.create('mypool')
await machine.handle({ name: 'main', takes: () => true, functions: { tx: (e) => void delivered.add(e.hash) } })
const { url } = await machine.listen(['mypool'], 0, '127.0.0.1')
answer({
  url: () => `${url}/mypool`,
  delivered: () => delivered.size,
  cpu: () => process.cpuUsage(),
  runs: async () => (await machine.runs({ pool: 'mypool', limit: 10_000 })).length,
})
