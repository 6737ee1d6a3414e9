import { afterAll, beforeAll, beforeEach } from 'vitest'
import { Lacking, type NodeOptions, OWN, RegtestNode, regtestNode, type UsersNode, usersNode } from './node.ts'

/**
 * The node of a test file, or of a `describe`: it starts before the first test and ends after the last one. Where there is none, each of the tests is skipped, with the reason.
 */
export function nodeOr(options?: NodeOptions): () => RegtestNode
/** The same where a node of the user's own will do, at BITCOIN_RPC_URL. */
export function nodeOr(options: NodeOptions & { any: true }): () => UsersNode
export function nodeOr(options: NodeOptions & { any?: true } = {}): () => UsersNode {
  let node: UsersNode | undefined
  let lacks: string | undefined
  beforeAll(async () => {
    if (OWN !== undefined && !options.any) {
      lacks = 'it stops, kills or joins the node, and BITCOIN_RPC_URL names one of your own'
      return
    }
    try {
      node = OWN === undefined ? await regtestNode(options) : await usersNode(OWN)
    } catch (error) {
      if (!(error instanceof Lacking)) throw error
      lacks = `there is no Bitcoin node: ${error.message}`
    }
  })
  beforeEach(({ skip }) => {
    if (lacks !== undefined) skip(lacks)
  })
  afterAll(async () => {
    if (node instanceof RegtestNode) await node.remove()
  })
  return () => node!
}
