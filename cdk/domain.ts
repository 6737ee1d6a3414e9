import { RemovalPolicy } from 'aws-cdk-lib'
import { type CfnStage, DomainName, HttpApi } from 'aws-cdk-lib/aws-apigatewayv2'
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations'
import { Certificate, CertificateValidation, type ICertificate } from 'aws-cdk-lib/aws-certificatemanager'
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda'
import { LogGroup } from 'aws-cdk-lib/aws-logs'
import { ARecord, HostedZone, type IHostedZone, RecordTarget } from 'aws-cdk-lib/aws-route53'
import { ApiGatewayv2DomainProperties } from 'aws-cdk-lib/aws-route53-targets'
import { Construct } from 'constructs'
import type { AwsSettings } from '../shared/config/aws.ts'
import { acknowledge } from './acknowledge.ts'
import { LOGS_KEPT } from './function.ts'

export interface DomainProps {
  domain: NonNullable<AwsSettings['domain']>
  throttle: AwsSettings['throttle']
  function: Lambda
}

/** The pools' own domain in front of the door: its certificate, an HTTP API, and the DNS record that points to it. */
export class Domain extends Construct {
  readonly url: string
  /** the name that the domain must point to, if its DNS zone is not managed by this stack */
  readonly target: string

  constructor(scope: Construct, { domain: { name, zone, certificate }, throttle, function: payments }: DomainProps) {
    super(scope, 'Domain')
    const hosted: IHostedZone | undefined =
      zone && HostedZone.fromHostedZoneAttributes(this, 'Zone', { hostedZoneId: zone.id, zoneName: zone.name })
    const proof: ICertificate =
      certificate === undefined
        ? new Certificate(this, 'Certificate', { domainName: name, validation: CertificateValidation.fromDns(hosted) })
        : Certificate.fromCertificateArn(this, 'Certificate', certificate)
    const domainName = new DomainName(this, 'Name', { domainName: name, certificate: proof })
    const api = new HttpApi(this, 'Api', {
      defaultIntegration: new HttpLambdaIntegration('Payments', payments),
      defaultDomainMapping: { domainName },
      disableExecuteApiEndpoint: true,
    })
    acknowledge(api, { 'AwsSolutions-APIG4': 'Anybody may send a payment: what is taken is checked, and nothing else can be done here.' })
    const stage = api.defaultStage!.node.defaultChild as CfnStage
    const logs = new LogGroup(this, 'Logs', { retention: LOGS_KEPT, removalPolicy: RemovalPolicy.DESTROY })
    stage.accessLogSettings = {
      destinationArn: logs.logGroupArn,
      format: JSON.stringify({
        at: '$context.requestTime',
        ip: '$context.identity.sourceIp',
        path: '$context.path',
        status: '$context.status',
      }),
    }
    if (throttle) stage.defaultRouteSettings = { throttlingRateLimit: throttle.rate, throttlingBurstLimit: throttle.burst }
    if (hosted) {
      const target = RecordTarget.fromAlias(
        new ApiGatewayv2DomainProperties(domainName.regionalDomainName, domainName.regionalHostedZoneId),
      )
      new ARecord(this, 'Record', { zone: hosted, recordName: `${name}.`, target })
    }
    this.url = `https://${name}/`
    this.target = domainName.regionalDomainName
  }
}
