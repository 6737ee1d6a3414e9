import { CloudWatchLogsClient, FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs'
import { call } from '../shared/aws/call.ts'
import type { AwsClients } from '../shared/aws/clients.ts'
import { OverpoolError } from '../shared/errors.ts'
import { newestFirst, RUNS_LINE, RUNS_LISTED, type Run, type RunsLine, type RunsQuery, unpackRuns } from '../shared/store/runs.ts'

/** The newest part of a log is read first, ms; then parts before it, each four times as long. */
const FIRST_PART_MS = 60_000
/** So long the stack keeps its logs, ms (cdk/function.ts). */
const KEPT_MS = 31 * 24 * 60 * 60_000
/** The clocks of Lambda and of this computer may differ by so much, ms. */
const SKEW_MS = 60_000

/** The log groups of the handlers' functions, by the handlers' names. */
export type LogGroups = ReadonlyMap<string, string>

/**
 * Reads runs out of CloudWatch Logs, where the handlers' functions write them (functions/handler/run-log.ts). A line can be found some seconds after it was written.
 * @param earliest no run is older, ms since 1970
 * @throws OverpoolError HANDLER_NOT_FOUND, ACCESS_DENIED, UNAVAILABLE
 */
export async function runsInLogs(clients: AwsClients, groups: LogGroups, query: RunsQuery, earliest: number): Promise<Run[]> {
  const { handler, since = 0, limit = RUNS_LISTED } = query
  const asked = handler === undefined ? [...groups.values()] : [groups.get(handler)]
  if (!groups.size)
    throw new OverpoolError('BAD_CONFIG', 'this stack does not say where its handlers log: deploy it again with this version')
  if (asked.includes(undefined))
    throw new OverpoolError('HANDLER_NOT_FOUND', `this stack has no handler "${handler}"; there are: ${[...groups.keys()].join(', ')}`)
  const client = clients.of(CloudWatchLogsClient)
  const now = Date.now()
  const first = Math.max(since, earliest - SKEW_MS, now - KEPT_MS)
  const found: Run[] = []
  let end = now + SKEW_MS
  for (let part = FIRST_PART_MS; end > first && found.length < limit; part *= 4) {
    const begin = Math.max(first, end - part)
    const runs = await Promise.all((asked as string[]).map((group) => readPart(client, group, query, begin, end, limit)))
    found.push(...runs.flat())
    end = begin
  }
  return found.sort(newestFirst).slice(0, limit)
}

/** The newest runs of a part of a log, from `begin` up to, and without, `end`. CloudWatch gives the oldest first. */
async function readPart(
  client: CloudWatchLogsClient,
  logGroupName: string,
  query: RunsQuery,
  begin: number,
  end: number,
  limit: number,
): Promise<Run[]> {
  let newest: Run[] = []
  let nextToken: string | undefined
  do {
    const command = new FilterLogEventsCommand({
      logGroupName,
      filterPattern: patternOf(query),
      startTime: begin,
      endTime: end - 1,
      nextToken,
    })
    const answer = await call(`reading the log ${logGroupName}`, (options) => client.send(command, options))
    const runs = (answer.events ?? []).flatMap(({ message = '' }) => runsIn(message, query))
    newest = [...newest, ...runs].slice(-limit)
    nextToken = answer.nextToken
  } while (nextToken !== undefined)
  return newest
}

/** CloudWatch's pattern for the lines with these runs. */
function patternOf({ pool, seq }: RunsQuery): string {
  const entry = seq === undefined ? '' : ` && $.first <= ${seq} && $.last >= ${seq}`
  return `{ $.message = "${RUNS_LINE}" && $.pool = ${JSON.stringify(pool)}${entry} }`
}

/** The runs in a line of the log. */
function runsIn(line: string, { seq, since = 0 }: RunsQuery): Run[] {
  try {
    const { handler, pool, runs } = JSON.parse(line) as RunsLine
    return unpackRuns(handler, pool, runs).filter((run) => (seq === undefined || run.seq === seq) && run.startedAt + run.ms >= since)
  } catch {
    return [] // a line of the user's code that looks like ours
  }
}
