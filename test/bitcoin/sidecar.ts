import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Transaction } from '@bsv/sdk'
import { folderLayout } from '../../local/folder.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { checkPayment } from '../../shared/bip270/payment.ts'
import { ChainFilter } from '../../shared/chain/filter.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import type { Entry } from '../../shared/ledger/kinds.ts'
import { statusIn, type TxStatus } from '../../shared/ledger/status.ts'
import { accept } from '../../shared/machine/accept.ts'
import type { Stores } from '../../shared/store/port.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import type { Grid, Wanted } from '../../sidecar/chain/grids.ts'
import { NodeSource } from '../../sidecar/chain/node.ts'
import type { ChainSource } from '../../sidecar/chain/source.ts'
import type { SidecarReport } from '../../sidecar/report.ts'
import { Sidecar } from '../../sidecar/sidecar.ts'
import type { UsersNode } from './node.ts'

/** The node as a source that looks often. */
export function sourceOf(node: UsersNode): NodeSource {
  return new NodeSource({ url: node.url, user: node.user, password: node.password, network: 'regtest', pollMs: 20 })
}

/** A grid that takes what pays to these scripts. */
export function gridOf(...scripts: string[]): Grid {
  const asked = { scripts }
  return { path: 'grid', from: 'now', mempool: true, wanted: { filter: new ChainFilter(asked), asked } }
}

/** This source with some of its methods replaced. */
export function changed(source: ChainSource, other: Partial<ChainSource>): ChainSource {
  return new Proxy(source, {
    get(_, name) {
      const value = Reflect.get(Reflect.has(other, name) ? other : source, name)
      return typeof value === 'function' ? value.bind(Reflect.has(other, name) ? other : source) : value
    },
  })
}

export interface SidecarOptions {
  sources: ChainSource[]
  grids?: Grid[]
  watched?: Wanted
  /** replaces some of the stores */
  stores?: (stores: Stores) => Stores
}

/** A sidecar that follows the chain by sources that the test chooses, over a ledger in a folder; no services, no handlers. */
export class FollowingSidecar implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'overpool-following-'))
  readonly reports: SidecarReport[] = []
  readonly #ledger = openLedgerFile(this.dir)
  #sidecar: Sidecar | undefined

  static async open(options: SidecarOptions): Promise<FollowingSidecar> {
    const following = new FollowingSidecar()
    await following.start(options)
    return following
  }

  get stores(): Stores {
    return this.#ledger.stores
  }

  async start({ sources, grids = [], watched, stores = (same) => same }: SidecarOptions): Promise<void> {
    this.#sidecar = await Sidecar.open({
      stores: stores(this.stores),
      ingress: this.#ledger.ingress,
      clock: systemClock,
      seed: new Uint8Array(32).fill(7),
      seedPlace: 'the test',
      cores: folderLayout(this.dir).cores,
      network: {},
      pools: ['shop'],
      ringers: () => [],
      unique: () => false,
      batchMs: () => 0,
      sweepMs: 50,
      chain: {
        sources,
        network: 'regtest',
        grids: () => grids,
        watched: ({ path }) => (path === 'shop' ? watched : undefined),
        lookMs: 50,
        invoices: false,
      },
      report: (report) => void this.reports.push(report),
    })
  }

  async stop(): Promise<void> {
    await this.#sidecar?.close()
    this.#sidecar = undefined
  }

  /** A payment into the pool of the wallets, `shop`. */
  async post(tx: Transaction): Promise<void> {
    const door = { path: 'shop', ...checkSettings({}, '') }
    await accept(door, checkPayment({ transaction: tx.toHex() }), { source: 'api' }, { ingress: this.#sidecar!.ingress, now: Date.now })
  }

  async entries(path: string): Promise<Entry[]> {
    const entries: Entry[] = []
    for (let n = 0, page = await this.stores.blocks.read(path, n); page.length; page = await this.stores.blocks.read(path, n)) {
      entries.push(...page.flatMap(entriesOf))
      n = page.at(-1)!.n + 1
    }
    return entries
  }

  /** All that a pool says of a transaction, in order: its entries and statuses. */
  async said(path: string, txid: string): Promise<TxStatus[]> {
    return (await this.entries(path)).flatMap((entry) => {
      const of = entry.kind === 'tx' ? scanTransaction(entry.tx).txid : entry.kind === 'status' ? entry.of.txid : undefined
      return of === txid ? (statusIn(entry) ?? []) : []
    })
  }

  async newest(path: string, txid: string): Promise<TxStatus | undefined> {
    return (await this.said(path, txid)).at(-1)
  }

  /** The last block that the machine has read. */
  async tip(path = '_chain'): Promise<string | undefined> {
    const last = (await this.entries(path)).findLast(({ kind }) => kind === 'block' || kind === 'reorg')
    return last?.kind === 'block' ? last.hash : last?.kind === 'reorg' ? last.to.hash : undefined
  }

  /** What the follower has complained of. */
  get complaints(): string[] {
    return this.reports.flatMap((report) =>
      report.kind === 'retrying' ? [`${report.step}: ${String((report.error as Error)?.message)}`] : [],
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    this.#ledger.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
