import type { Server } from 'node:http'
import type { Socket } from 'node:net'

const MAX_CONNECTIONS = 2_000
/** Pipelined requests on all connections together: sent before an earlier request on the connection was answered. No wallet does that. */
const MAX_PIPELINED = 1_000

/**
 * Bounds open connections, so that one client cannot lock others out. A connection too many closes another one: of the address that has the most, the one whose last request
 * began longest ago. A pipelined request too many closes its own connection.
 */
export function boundConnections(server: Server): void {
  /** by address, each set in the order of the last requests */
  const open = new Map<string, Set<Socket>>()
  const pipelined = new Map<Socket, number>()
  let [connections, waiting] = [0, 0]

  server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? ''
    const neighbours = open.get(address) ?? new Set()
    open.set(address, neighbours.add(socket))
    connections++
    socket.once('close', () => {
      waiting -= pipelined.get(socket) ?? 0
      pipelined.delete(socket)
      connections--
      neighbours.delete(socket)
      if (!neighbours.size && open.get(address) === neighbours) open.delete(address)
    })
    if (connections > MAX_CONNECTIONS) {
      const most = [...open.values()].reduce((one, other) => (other.size > one.size ? other : one))
      const [longest] = most
      most.delete(longest!)
      longest!.destroy()
    }
  })

  server.on('request', ({ socket }, response) => {
    const neighbours = open.get(socket.remoteAddress ?? '')
    if (neighbours?.delete(socket)) neighbours.add(socket)
    if (response.socket) return // it is the next to be answered
    pipelined.set(socket, (pipelined.get(socket) ?? 0) + 1)
    if (++waiting > MAX_PIPELINED) socket.destroy()
    response.once('close', () => {
      const left = pipelined.get(socket)
      if (!left) return
      pipelined.set(socket, left - 1)
      waiting--
    })
  })
}
