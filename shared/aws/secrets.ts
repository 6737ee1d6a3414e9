import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { call } from './call.ts'
import type { AwsClients } from './clients.ts'

/** The text of a secret. It is kept in memory only. @param id its name or ARN. @param what it is, for errors */
export async function readSecret(clients: AwsClients, id: string, what: string): Promise<string> {
  const secrets = clients.of(SecretsManagerClient)
  const command = new GetSecretValueCommand({ SecretId: id })
  const { SecretString = '' } = await call(`reading ${what}`, (options) => secrets.send(command, options))
  return SecretString
}
