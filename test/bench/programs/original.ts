import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { answer } from '../program.ts'

// The same program over the package of 2019, which does not support port 0. Its pool is not published (`pub`), so it looks for no peers.

interface OriginalOverpool {
  create(options: { path: string; port: number }): Promise<void>
  on(event: 'tx', handler: (e: { parsed: { tx: { h: string } } }) => void): void
}

const [installed, dir] = process.argv.slice(2)
const Overpool = createRequire(installed!)('overpool') as new (options: { path: string }) => OriginalOverpool

const port = await freePort()
const pool = new Overpool({ path: dir! })
const delivered = new Set<string>()
const created = pool.create({ path: 'mypool', port })
pool.on('tx', (e) => {
  delivered.add(e.parsed.tx.h)
})
await created
answer({ url: () => `http://127.0.0.1:${port}/mypool`, delivered: () => delivered.size, cpu: () => process.cpuUsage() })

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
