import { join } from 'node:path'
import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import {
  GatewayVpcEndpointAwsService,
  IpAddresses,
  type ISecurityGroup,
  type IVpc,
  Peer,
  Port,
  SecurityGroup,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2'
import { Platform } from 'aws-cdk-lib/aws-ecr-assets'
import {
  CfnClusterCapacityProviderAssociations,
  Cluster,
  ContainerImage,
  CpuArchitecture,
  FargateService,
  FargateTaskDefinition,
  LinuxParameters,
  LogDrivers,
  OperatingSystemFamily,
  Protocol,
} from 'aws-cdk-lib/aws-ecs'
import { LogGroup } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import { type AwsSettings, SIDECAR } from '../shared/config/aws.ts'
import { asksForPayments, type OverpoolConfig } from '../shared/config/config.ts'
import type { EnvOf } from '../shared/config/env.ts'
import { planMachine } from '../shared/config/plan.ts'
import { STORES } from '../shared/store/dynamodb/partitions.ts'
import { acknowledge } from './acknowledge.ts'
import type { Bitcoin } from './bitcoin.ts'
import type { Broadcaster } from './broadcaster.ts'
import type { Forward } from './forward.ts'
import { LOGS_KEPT } from './function.ts'
import type { Handler } from './handlers.ts'
import type { Ingress } from './ingress.ts'
import type { Ledger } from './ledger.ts'
import { fileOf, PACKAGE, SOURCE } from './source.ts'

/** UDP port of the swarm unless the config names one. It stays the same, so that peers find the sidecar again. */
const DEFAULT_PORT = 49_737
/** ECS kills the container after this time: longer than `STOP_MS` in sidecar/main.ts. */
const STOP = Duration.seconds(60)
/** Fargate Spot: spare capacity at a lower price. */
const SPARE = 'FARGATE_SPOT'

export interface SidecarsProps {
  config: OverpoolConfig
  settings: AwsSettings
  shards: number
  ledger: Ledger
  ingress: Ingress
  handlers: (Handler | Forward)[]
  bitcoin?: Bitcoin
  broadcaster?: Broadcaster
  /** for an emulator: no image is built and no task is run; the sidecar is a process beside it */
  local: boolean
}

/** One sidecar for each shard: a task on Fargate with a public address and a fixed UDP port, no NAT gateway, no load balancer. */
export class Sidecars extends Construct {
  readonly environments: EnvOf<'sidecar'>[]
  readonly services: FargateService[] = []
  readonly logs: LogGroup[] = []

  constructor(scope: Construct, props: SidecarsProps) {
    super(scope, 'Sidecar')
    const { config, settings, shards, ledger, ingress, handlers, bitcoin, broadcaster } = props
    const port = config.network?.port ?? DEFAULT_PORT
    const rung = handlers.map(({ name, bells, code: { pools, notPeers } }) => ({ name, url: bells.queueUrl, pools, notPeers }))
    const plan = planMachine({ ...config, network: { ...config.network, port } }, rung, broadcaster?.bells.queueUrl)
    this.environments = Array.from({ length: shards }, (_, shard) => ({
      TABLE: ledger.table.tableName,
      BUCKET: ledger.bucket.bucketName,
      INGRESS_URL: ingress.queues[shard]!.queueUrl,
      SHARD: String(shard),
      SHARDS: String(shards),
      SEED_ARN: ledger.seed.secretArn,
      MACHINE: JSON.stringify(plan),
      ...(bitcoin && { CALLBACKS_ARN: bitcoin.callbacks.secretArn }),
    }))

    const vpc = this.#vpc(settings.vpc)
    const securityGroup = new SecurityGroup(this, 'Door', { vpc, description: 'Peers of the swarm, on one UDP port' })
    securityGroup.addIngressRule(Peer.anyIpv4(), Port.udp(port), 'the swarm')
    acknowledge(securityGroup, {
      'AwsSolutions-EC23': 'Peers come from anywhere, to this one UDP port, and speak Noise: whoever has no key gets no further.',
    })
    const cluster = new Cluster(this, 'Cluster', { vpc })
    acknowledge(cluster, {
      'AwsSolutions-ECS4':
        'Container Insights would cost more than the task; it says once a minute that its loops move, and an alarm listens.',
    })
    const spare = settings.sidecar?.spot && spareCapacityOf(cluster)
    for (const [shard, environment] of this.environments.entries()) {
      this.services.push(
        this.#service(`Shard${shard}`, environment, { ...props, port, cluster, securityGroup, queue: ingress.queues[shard]! }),
      )
      if (spare) this.services[shard]!.node.addDependency(spare)
    }
  }

  #vpc(there: AwsSettings['vpc']): IVpc {
    if (there) {
      const { id, availabilityZones, publicSubnets } = there
      return Vpc.fromVpcAttributes(this, 'Vpc', { vpcId: id, availabilityZones, publicSubnetIds: publicSubnets })
    }
    const vpc = new Vpc(this, 'Vpc', {
      ipAddresses: IpAddresses.cidr('10.0.0.0/24'),
      maxAzs: 2,
      natGateways: 0, // one would be symmetric, which kills hole punching, and cost three times what the rest does
      subnetConfiguration: [{ name: 'public', subnetType: SubnetType.PUBLIC }],
      // These two endpoints are free, and keep the ledger's traffic inside AWS.
      gatewayEndpoints: {
        DynamoDb: { service: GatewayVpcEndpointAwsService.DYNAMODB },
        S3: { service: GatewayVpcEndpointAwsService.S3 },
      },
    })
    acknowledge(vpc, {
      'AwsSolutions-VPC7':
        'Nothing is in it but the sidecars, which speak to AWS and, over UDP, to strangers: flow logs would be of strangers.',
    })
    return vpc
  }

  #service(
    id: string,
    environment: EnvOf<'sidecar'>,
    {
      config,
      settings,
      ledger,
      handlers,
      bitcoin,
      broadcaster,
      local,
      port,
      cluster,
      securityGroup,
      queue,
    }: SidecarsProps & { port: number; cluster: Cluster; securityGroup: ISecurityGroup; queue: Ingress['queues'][number] },
  ): FargateService {
    const { cpu, memory, spot } = { ...SIDECAR, ...settings.sidecar }
    const scope = new Construct(this, id)
    const logGroup = new LogGroup(scope, 'Logs', { retention: LOGS_KEPT, removalPolicy: RemovalPolicy.DESTROY })
    this.logs.push(logGroup)
    const taskDefinition = new FargateTaskDefinition(scope, 'Task', {
      cpu,
      memoryLimitMiB: memory,
      runtimePlatform: { cpuArchitecture: CpuArchitecture.ARM64, operatingSystemFamily: OperatingSystemFamily.LINUX },
      volumes: [{ name: 'work' }],
    })
    const container = taskDefinition.addContainer('sidecar', {
      image: local
        ? ContainerImage.fromRegistry('overpool-sidecar')
        : ContainerImage.fromAsset(PACKAGE, {
            file: join(SOURCE, 'sidecar/Dockerfile'),
            platform: Platform.LINUX_ARM64,
            exclude: ['**', '!package.json', ...['package-lock.json', 'shared', 'sidecar'].map((file) => `!${join(SOURCE, file)}`)],
            buildArgs: { SOURCE },
          }),
      command: ['node', fileOf('sidecar/main')],
      environment,
      user: 'node',
      readonlyRootFilesystem: true,
      // The first process of a container ignores a signal for which it has no listener yet: told to stop while it starts, it would run on until it is killed.
      linuxParameters: new LinuxParameters(scope, 'Linux', { initProcessEnabled: true }),
      logging: LogDrivers.awsLogs({ streamPrefix: 'sidecar', logGroup }),
      portMappings: [{ containerPort: port, protocol: Protocol.UDP }],
      stopTimeout: STOP,
      healthCheck: {
        command: ['CMD', 'node', fileOf('sidecar/health')],
        interval: Duration.seconds(30),
        timeout: Duration.seconds(10),
        retries: 3,
        startPeriod: Duration.seconds(60),
      },
    })
    acknowledge(taskDefinition, {
      'AwsSolutions-ECS2': 'Names, URLs and the plan of the machine, none of which is a secret: of each secret it has the name.',
    })
    container.addMountPoints({ sourceVolume: 'work', containerPath: '/work', readOnly: false })
    ledger.grant(taskDefinition.taskRole, { read: STORES, write: STORES }) // nobody else writes blocks
    ledger.grantGetMessages(taskDefinition.taskRole)
    ledger.seed.grantRead(taskDefinition.taskRole)
    queue.grantConsumeMessages(taskDefinition.taskRole)
    for (const { bells } of [...handlers, ...(broadcaster ? [broadcaster] : [])]) bells.grantSendMessages(taskDefinition.taskRole)
    if (bitcoin || asksForPayments(config)) {
      // What it hears of a transaction, while its writer cannot take it; and that an invoice has expired.
      queue.grantSendMessages(taskDefinition.taskRole)
      ledger.grantPutMessages(taskDefinition.taskRole)
    }
    if (bitcoin) {
      bitcoin.grantSecrets(taskDefinition.taskRole)
      ledger.grantGetAncestors(taskDefinition.taskRole)
    }
    acknowledge(taskDefinition.obtainExecutionRole(), {
      'AwsSolutions-IAM5[Resource::*]': 'ecr:GetAuthorizationToken knows no resources.',
    })
    return new FargateService(scope, 'Service', {
      cluster,
      taskDefinition,
      desiredCount: local ? 0 : 1,
      capacityProviderStrategies: spot ? [{ capacityProvider: SPARE, weight: 1 }] : undefined,
      assignPublicIp: true,
      securityGroups: [securityGroup],
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      // The new task waits for the lease beside the old one, and takes it as soon as that one has stopped.
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      circuitBreaker: { rollback: true },
    })
  }
}

/** Capacity providers of the cluster. A service depends on them: it is made after them and removed before them, since AWS does not remove one in use. The cluster's own setting does not ensure this order. */
function spareCapacityOf(cluster: Cluster): CfnClusterCapacityProviderAssociations {
  return new CfnClusterCapacityProviderAssociations(cluster, 'Spare', {
    cluster: cluster.clusterName,
    capacityProviders: [SPARE],
    defaultCapacityProviderStrategy: [],
  })
}
