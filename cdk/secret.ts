import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager'
import type { Construct } from 'constructs'
import { SECRET } from '../shared/config/aws.ts'
import type { SecretPlace } from '../shared/config/bitcoin.ts'
import { OverpoolError } from '../shared/errors.ts'

/** A secret that a config names. */
export function namedSecret(scope: Construct, construct: string, id: string): ISecret {
  return id.startsWith('arn:') ? Secret.fromSecretCompleteArn(scope, construct, id) : Secret.fromSecretNameV2(scope, construct, id)
}

/** Checks that a secret is where a machine on AWS finds it. @throws OverpoolError BAD_CONFIG */
export function checkSecretOnAws(place: SecretPlace, where: string): void {
  if (!('secret' in place))
    throw wrong(
      `${where}: on AWS a secret is in Secrets Manager, where neither the template nor the console shows it: put it there as plain text, and write { secret: 'its name' }`,
    )
  if (place.secret.startsWith('arn:') && !SECRET.test(place.secret))
    throw wrong(`${where} is the name of a secret, or its complete ARN, arn:aws:secretsmanager:…, with the six characters at its end`)
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `the config is wrong: ${what}`)
}
