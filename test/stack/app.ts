import { fileURLToPath } from 'node:url'
import { App, CfnOutput, RemovalPolicy } from 'aws-cdk-lib'
import { AttributeType, BillingMode, Table } from 'aws-cdk-lib/aws-dynamodb'
import { readProgram } from '../../cdk/read.ts'
import { OverpoolStack } from '../../cdk/stack.ts'

// The machine for the scenarios, and a table in which its handler records its runs. The table is granted to the handler as users grant their own resources.
const app = new App()
const name = (app.node.tryGetContext('name') as string | undefined) ?? 'OverpoolTest'
const program = await readProgram(fileURLToPath(new URL('./overpool.config.ts', import.meta.url)))
const stack = new OverpoolStack(app, name, { program, local: app.node.tryGetContext('local') === 'true' })
const runs = new Table(stack, 'Runs', {
  partitionKey: { name: 'pk', type: AttributeType.STRING },
  sortKey: { name: 'sk', type: AttributeType.STRING },
  billingMode: BillingMode.PAY_PER_REQUEST,
  removalPolicy: RemovalPolicy.DESTROY,
})
const handler = stack.handlers.main!
runs.grantReadWriteData(handler.function)
handler.function.addEnvironment('RUNS_TABLE', runs.tableName)
new CfnOutput(stack, 'RunsTable', { value: runs.tableName })
new CfnOutput(stack, 'PaymentsFunction', { value: stack.payments.function.functionName })
new CfnOutput(stack, 'HandlerFunction', { value: handler.function.functionName })
new CfnOutput(stack, 'HandlerLogs', { value: handler.logs.logGroupName })
