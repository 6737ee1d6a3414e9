import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { answer } from '../program.ts'

// The least that a durable door must do: Node's own server, JSON.parse, and an insert that is on disk before the answer.
// Posts of one turn of the event loop share a commit. It checks nothing, and calls no handler.

const [dir] = process.argv.slice(2)
const db = new DatabaseSync(join(dir!, 'floor.sqlite'))
db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE posts (body TEXT NOT NULL)')
const begin = db.prepare('BEGIN IMMEDIATE')
const insert = db.prepare('INSERT INTO posts VALUES (?)')
const commit = db.prepare('COMMIT')

let stored = 0
let waiting: { transaction: string; response: ServerResponse }[] = []

function store(): void {
  const group = waiting
  waiting = []
  begin.run()
  for (const { transaction } of group) insert.run(transaction)
  commit.run()
  stored += group.length
  for (const { response } of group) response.writeHead(200, { 'content-type': 'application/json', 'content-length': 11 }).end('{"error":0}')
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const { transaction } = JSON.parse(Buffer.concat(chunks).toString()) as { transaction: string }
    if (!waiting.length) setImmediate(store)
    waiting.push({ transaction, response })
  })
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo
answer({ url: () => `http://127.0.0.1:${port}/mypool`, delivered: () => stored, cpu: () => process.cpuUsage() })
