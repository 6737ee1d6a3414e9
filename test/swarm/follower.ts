import { Overpool } from '../../index.ts'

// A machine in a process of its own that follows one pool, so that its memory can be measured. It sends its state after each entry.

export interface FollowerState {
  entries: number
  /** bytes outside of the heap that JavaScript still refers to: blocks are there */
  heldBytes: number
}

const [dir, bootstrap, key] = process.argv.slice(2)
const pool = new Overpool({ dir, network: { host: '127.0.0.1', bootstrap: [bootstrap!] } })
let entries = 0
pool.on('tx', () => {
  entries++
  global.gc!()
  process.send!({ entries, heldBytes: process.memoryUsage().external } satisfies FollowerState)
})
process.on('disconnect', () => process.exit())
await pool.sub({ path: key! })
