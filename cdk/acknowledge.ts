import { Validations } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

/** Says of a rule of cdk-nag why a construct does not keep it. */
export function acknowledge(construct: unknown, reasons: Record<string, string>): void {
  for (const [id, reason] of Object.entries(reasons)) Validations.of(construct as IConstruct).acknowledge({ id, reason })
}
