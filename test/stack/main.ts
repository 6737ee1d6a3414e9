import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { handlerOf } from '../machine/handler.ts'
import { TableRuns } from './runs.ts'

// The handler of the suite's stack.
export const onTx = handlerOf(new TableRuns(new DynamoDBClient({}), process.env.RUNS_TABLE!))
