import type { AwsClients } from '../shared/aws/clients.ts'
import { readSecret } from '../shared/aws/secrets.ts'
import { OverpoolError } from '../shared/errors.ts'

/** The seed of a machine on AWS. It is stored in the secret alone; its readers keep it in memory only. @param arn of the secret */
export async function readSecretSeed(clients: AwsClients, arn: string): Promise<Uint8Array> {
  const text = await readSecret(clients, arn, `the seed, the secret ${arn},`)
  if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, 'hex')
  throw new OverpoolError(
    'BAD_CONFIG',
    `the secret ${arn} does not hold 64 hex characters: put the right seed back, without it these pools cannot be signed`,
  )
}
