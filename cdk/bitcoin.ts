import { RemovalPolicy } from 'aws-cdk-lib'
import type { IGrantable } from 'aws-cdk-lib/aws-iam'
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager'
import { Construct } from 'constructs'
import { ChainFilter } from '../shared/chain/filter.ts'
import { type BitcoinSettings, broadcastPlaces, isBroadcasting, secretPlaces } from '../shared/config/bitcoin.ts'
import type { OverpoolConfig } from '../shared/config/config.ts'
import type { PlannedHandler } from '../shared/config/handlers.ts'
import { BROADCASTER } from '../shared/config/plan.ts'
import { OverpoolError } from '../shared/errors.ts'
import { acknowledge } from './acknowledge.ts'
import { checkSecretOnAws, namedSecret } from './secret.ts'

/** The secrets with which a machine takes part in Bitcoin. */
export class Bitcoin extends Construct {
  /** what the tokens of callbacks are made of: not the seed, which the public door must not know */
  readonly callbacks: ISecret
  /** those that the config names */
  readonly #named: ISecret[]

  constructor(scope: Construct, { bitcoin }: { bitcoin: BitcoinSettings }) {
    super(scope, 'Bitcoin')
    this.callbacks = new Secret(this, 'Callbacks', {
      description:
        'Services that call back about transactions show a token made from it. A new one makes calls on earlier transactions count for nothing.',
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
      removalPolicy: RemovalPolicy.DESTROY, // another machine makes its own
    })
    acknowledge(this.callbacks, {
      'AwsSolutions-SMG4':
        'A token says only what has become of one transaction, which is asked for as well; services keep tokens for days.',
    })
    const ids = new Set(secretPlaces(bitcoin).flatMap(({ place }) => ('secret' in place ? [place.secret] : [])))
    this.#named = [...ids].map((id, i) => namedSecret(this, `Secret${i}`, id))
  }

  /** Grants reading these secrets, and no others. */
  grantSecrets(to: IGrantable): void {
    for (const secret of [this.callbacks, ...this.#named]) secret.grantRead(to)
  }
}

/** Checks what a machine on AWS cannot do of a config, so that it fails here and not in a task. @throws OverpoolError BAD_CONFIG */
export function checkBitcoinOnAws({ bitcoin, pools }: OverpoolConfig, handlers: PlannedHandler[]): void {
  for (const { place, where } of bitcoin ? secretPlaces(bitcoin) : []) checkSecretOnAws(place, where)
  const chain = bitcoin?.chain ?? []
  for (const [i, place] of chain.entries())
    if ('blocks' in place)
      throw wrong(`bitcoin.chain[${i}] is a folder, and the sidecar on AWS has none: name a node, or { services: true }`)
  if (isBroadcasting(bitcoin)) {
    if (broadcastPlaces(bitcoin!).every((place) => typeof place === 'function'))
      throw wrong(
        'bitcoin.broadcast has only functions: on AWS name a service with an address besides, which the sidecar asks what has become of a transaction, and sends it to again',
      )
    const taken = handlers.find(({ name }) => name === BROADCASTER)
    if (taken) throw wrong(`the handler ${taken.named} has the name of the built-in broadcaster: rename its file`)
  }
  for (const [path, { grid, watch }] of Object.entries(pools)) {
    const where = `pools.${path}`
    if (grid && !chain.length)
      throw wrong(
        `${where}.grid takes entries from the chain, and \`bitcoin.chain\` does not say where that is read: name a node, or { services: true }`,
      )
    if (grid?.chain.filter?.match)
      throw wrong(
        `${where}.grid.chain.filter.match is a function, and the sidecar on AWS runs no code of yours: filter by prefixes, addresses, scripts or outpoints, and look closer in the handler`,
      )
    if (grid?.chain.filter) new ChainFilter(grid.chain.filter, `${where}.grid.chain.filter`)
    if (watch) new ChainFilter(watch, `${where}.watch`)
  }
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `the config is wrong: ${what}`)
}
