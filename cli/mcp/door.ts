import type { Limits } from '../../client/kept-budget.ts'
import { KeptBudget } from '../../client/kept-budget.ts'
import { Purse } from '../../client/purse.ts'
import type { RemoteMachine } from '../../client/remote.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { openMachine, type Where } from '../machine.ts'

export interface McpSettings {
  where: Where
  readOnly: boolean
  /** the file of the budget; undefined: payments are not possible */
  budget?: string
  /** the limits of this process */
  limits: Limits
  /** payments above the budget, up to so many satoshis, are asked for at the client's user */
  askUpTo: number
  /** URL of a wallet (BRC-100 over HTTP) */
  wallet: string
  network: 'main' | 'test' | 'regtest'
  payees?: string[]
}

/** What the tools work on. All is opened when it is first needed: a machine may be started after the agent. */
export class McpDoor {
  readonly settings: McpSettings
  #machine: Promise<RemoteMachine> | undefined
  #budget: KeptBudget | undefined
  #purse: Promise<Purse> | undefined

  constructor(settings: McpSettings) {
    this.settings = settings
  }

  machine(): Promise<RemoteMachine> {
    const opened = (this.#machine ??= openMachine(this.settings.where))
    opened.catch(() => (this.#machine = undefined))
    return opened
  }

  budget(): KeptBudget {
    const { budget } = this.settings
    if (budget === undefined)
      throw new OverpoolError(
        'BAD_CONFIG',
        'a stack has no budget of its own: with --stack, the operator must name the budget’s file by --budget <file>',
      )
    return (this.#budget ??= new KeptBudget(budget))
  }

  purse(): Promise<Purse> {
    this.#purse ??= this.#openPurse()
    this.#purse.catch(() => (this.#purse = undefined))
    return this.#purse
  }

  async #openPurse(): Promise<Purse> {
    const { limits, wallet: url, network, payees } = this.settings
    const budget = this.budget()
    const { walletAt } = await import('../../client/http-wallet.ts')
    return new Purse({ budget, limits, wallet: walletAt(url), network, ...(payees && { payees }) })
  }

  /** Waits for payments that are under way, then closes all that was opened. */
  async close(): Promise<void> {
    const purse = await this.#purse?.catch(() => undefined)
    await purse?.idle()
    this.#budget?.close()
    const machine = await this.#machine?.catch(() => undefined)
    await machine?.close()
  }
}
