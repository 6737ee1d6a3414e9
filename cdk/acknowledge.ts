import { Validations } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

/** Records why a construct does not follow a cdk-nag rule. */
export function acknowledge(construct: unknown, reasons: Record<string, string>): void {
  for (const [id, reason] of Object.entries(reasons)) Validations.of(construct as IConstruct).acknowledge({ id, reason })
}
