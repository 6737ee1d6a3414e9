import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { call } from '../shared/aws/call.ts'
import type { AwsClients } from '../shared/aws/clients.ts'
import { OverpoolError } from '../shared/errors.ts'

/** The seed of a machine on AWS. It is stored in the secret alone; its readers keep it in memory only. @param arn of the secret */
export async function readSecretSeed(clients: AwsClients, arn: string): Promise<Uint8Array> {
  const secrets = clients.of(SecretsManagerClient)
  const command = new GetSecretValueCommand({ SecretId: arn })
  const { SecretString = '' } = await call(`reading the seed, the secret ${arn},`, (options) => secrets.send(command, options))
  if (/^[0-9a-f]{64}$/.test(SecretString)) return Buffer.from(SecretString, 'hex')
  throw new OverpoolError(
    'BAD_CONFIG',
    `the secret ${arn} does not hold 64 hex characters: put the right seed back, without it these pools cannot be signed`,
  )
}
