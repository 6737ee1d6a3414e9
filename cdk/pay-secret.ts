import { RemovalPolicy } from 'aws-cdk-lib'
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager'
import type { Construct } from 'constructs'
import { acknowledge } from './acknowledge.ts'

/**
 * The secret of which the keys are made that payments of HTTP 402 and paymail go to: whoever has it can spend them. It is not the seed, which the public door must not know.
 * @param adopted the ARN of an existing one
 */
export function paySecretOf(scope: Construct, { adopted, retain }: { adopted?: string; retain: boolean }): ISecret {
  if (adopted !== undefined) return Secret.fromSecretCompleteArn(scope, 'PaymentKeys', adopted)
  const secret = new Secret(scope, 'PaymentKeys', {
    description: 'The keys of payments by HTTP 402 and paymail are made of it: without it the money cannot be spent.',
    generateSecretString: { passwordLength: 64, excludePunctuation: true },
    removalPolicy: retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  })
  acknowledge(secret, {
    'AwsSolutions-SMG4': 'The keys of all earlier payments are made of it: a new one would leave that money to nobody.',
  })
  return secret
}
