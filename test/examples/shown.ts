import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { REPOSITORY } from '../cli/project.ts'

/** What the README of an example shows below its command. */
export function shownBy(example: string, command: string): string {
  const readme = readFileSync(join(REPOSITORY, 'examples', example, 'README.md'), 'utf8')
  const block = [...readme.matchAll(/^```\w*\n\$ (.+)\n\n?([\s\S]+?)^```$/gm)].find(([, shown]) => shown === command)
  if (!block) throw new Error(`the README of ${example} does not show what \`${command}\` prints`)
  return block[2]!
}

/**
 * The sorted lines of an output without what differs from run to run: the order of lines of several machines varies. A service that tells at once that the network has a
 * transaction does not say before that it has taken it.
 */
export function lasting(text: string): string[] {
  return text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/127\.0\.0\.1:\d+/g, 'PLACE')
    .replace(/--port \d{4,}/g, '--port PORT')
    .replace(/\b[0-9a-f]{8}…/g, 'HEX')
    .replace(/\b1[1-9A-HJ-NP-Za-km-z]{25,33}\b/g, 'ADDRESS')
    .replace(/\bblock \d+/g, 'block HEIGHT')
    .replace(/^miner +has a node at BITCOIN_RPC_URL$/m, 'miner$ bitcoind -regtest')
    .split('\n')
    .filter((line) => line && !line.endsWith(' is sent'))
    .sort()
}
