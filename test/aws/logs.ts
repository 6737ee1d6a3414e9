import { createServer, type Server } from 'node:http'
import { json } from 'node:stream/consumers'

export interface LogEvent {
  timestamp: number
  message: string
}

/** Events that one answer holds: the real service gives up to 10,000, and also pages that are empty. */
const PAGE = 3

interface Asked {
  logGroupName: string
  filterPattern: string
  startTime: number
  endTime: number
  nextToken?: string
}

/** FilterLogEvents of CloudWatch Logs, for patterns of the form `{ $.a = "c" && $.b <= 5 }`: the emulators that run in a test's process do not have it. */
export function logServer(groups: () => Record<string, LogEvent[]>): Server {
  return createServer(async (request, response) => {
    const { logGroupName, filterPattern, startTime, endTime, nextToken = '0' } = (await json(request)) as Asked
    const group = groups()[logGroupName]
    if (!group)
      return void response.writeHead(400).end(JSON.stringify({ __type: 'ResourceNotFoundException', message: 'no such log group' }))
    const matches = matcherOf(filterPattern)
    const found = group
      .filter(({ timestamp, message }) => timestamp >= startTime && timestamp <= endTime && matches(message))
      .sort((a, b) => a.timestamp - b.timestamp)
    // every other page is empty
    const page = Number(nextToken)
    const events = page % 2 ? [] : found.slice((page / 2) * PAGE, (page / 2 + 1) * PAGE)
    const isLast = ((page + 1) / 2) * PAGE >= found.length
    response.end(JSON.stringify({ events, ...(!isLast && { nextToken: String(page + 1) }) }))
  })
}

const OPERATORS: Record<string, (is: unknown, value: unknown) => boolean> = {
  '=': (is, value) => is === value,
  '<=': (is, value) => typeof is === 'number' && is <= Number(value),
  '>=': (is, value) => typeof is === 'number' && is >= Number(value),
}

function matcherOf(pattern: string): (message: string) => boolean {
  const conditions = /^{ (.+) }$/
    .exec(pattern)![1]!
    .split(' && ')
    .map((condition) => {
      const [, key = '', operator = '', value = ''] = /^\$\.(\w+) (=|<=|>=) (.+)$/.exec(condition)!
      return { key, holds: (is: unknown) => OPERATORS[operator]!(is, JSON.parse(value)) }
    })
  return (message) => {
    try {
      const whole = JSON.parse(message) as Record<string, unknown>
      return conditions.every(({ key, holds }) => holds(whole[key]))
    } catch {
      return false
    }
  }
}
