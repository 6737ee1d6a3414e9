import { regtestNode } from './node.ts'

// A process that starts a node, and waits to be killed (node.test.ts).
const { folder } = await regtestNode({ blocks: 0 })
console.log(JSON.stringify({ folder }))
setInterval(() => {}, 60_000)
