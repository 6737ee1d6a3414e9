import { createHash } from 'node:crypto'
import { broadcasterFunctions } from '../../functions/handler/broadcaster.ts'
import { HandlerLoop } from '../../functions/handler/loop.ts'
import { answerBell } from '../../functions/handler/runner.ts'
import { checkPayment } from '../../shared/bip270/payment.ts'
import { Broadcaster } from '../../shared/broadcast/broadcaster.ts'
import type { Service } from '../../shared/broadcast/service.ts'
import { ChainFilter } from '../../shared/chain/filter.ts'
import { readHeader } from '../../shared/chain/header.ts'
import { type CheckedSettings, checkSettings } from '../../shared/config/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { type Invoice, watchedOf } from '../../shared/invoice/invoice.ts'
import type { Entry } from '../../shared/ledger/kinds.ts'
import { follows, type StatusName, statusIn, type TxStatus } from '../../shared/ledger/status.ts'
import { accept } from '../../shared/machine/accept.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { settle, verdictOf } from '../../shared/machine/settle.ts'
import type { Queue, ReceiveOptions } from '../../shared/queue/port.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import type { Stores } from '../../shared/store/port.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { ChainFollower } from '../../sidecar/chain/follower.ts'
import type { Grid, Wanted } from '../../sidecar/chain/grids.ts'
import type { ChainSource } from '../../sidecar/chain/source.ts'
import { Tracker } from '../../sidecar/chain/tracker.ts'
import type { PoolCore } from '../../sidecar/cores/core.ts'
import type { SidecarReport } from '../../sidecar/report.ts'
import { DirectIngress } from '../../sidecar/writer/direct-ingress.ts'
import { IngressConsumer } from '../../sidecar/writer/ingress-consumer.ts'
import { Network } from './network.ts'
import { Disk, MemoryCore, MemoryQueue, MemoryStores } from './ports.ts'
import { Process, type Scheduler, type Sync } from './scheduler.ts'

const OURS = '51'
const GRIDS = '52'
/** what the shop watches on the chain */
const WATCHED = '53'
/** how the fresh scripts of invoices begin */
const FRESH = '54'
const BELL_MS = 10_000
/** Blocks that are remembered, with a margin for those that came while the machine was dead. */
const MOST_RECENT = 8

/** A machine that broadcasts and follows a made-up network. One process at a time runs it; its stores and the network outlive it. */
export class ChainWorld {
  readonly network: Network
  readonly stores: MemoryStores
  kills = 0
  broken: string | undefined
  process: Process | undefined
  readonly #scheduler: Scheduler
  readonly #ingress: MemoryQueue
  readonly #bells: MemoryQueue
  readonly #settings: CheckedSettings
  readonly #grid: Grid
  readonly #disk = new Disk()
  readonly #watched: Wanted
  #pools: LedgerPools | undefined
  #broadcaster: Broadcaster | undefined
  /** steps until the machine is killed in the middle of a reorganisation */
  #stepsLeft = Number.POSITIVE_INFINITY
  /** how often it dies: what a machine has in memory matters only if it lives for a while */
  readonly #deaths: number
  /** the services that take transactions; with none, others broadcast what was posted */
  readonly #services: ('liar' | 'node')[]
  /** how often calls fail */
  readonly #faults: number
  /** how often a store is slow */
  readonly #slow: number
  /** transactions that others have broadcast, and wallets post later */
  readonly #late: Buffer[] = []
  #made = 0
  /** transactions that were posted, and whether that was acknowledged, by txid */
  readonly #posted = new Map<string, { tx: Buffer; acknowledged: boolean }>()
  /** the same of transactions that are to be broadcast, and become no entries */
  readonly #committed = new Map<string, { tx: Buffer; acknowledged: boolean }>()

  /** transactions that were broadcast since the machine follows the chain, and that the shop watches for */
  readonly #awaited = new Set<string>()
  /** whether invoices are made, and paid by who sends money to their scripts */
  readonly #hasInvoices: boolean
  /** the invoices that transactions pay which were broadcast since then, by txid */
  readonly #sent = new Map<string, string>()
  /** a wallet posts a payment of an invoice, too */
  #pay270: ((tx: Buffer, invoice: Invoice) => Promise<unknown>) | undefined
  /** when the follower last asked which statuses are open, by pool, ms since 1970 */
  readonly #askedOpen = new Map<string, number>()
  /** what it knew of when it began to read a block, each time: when it read it, and when it had asked */
  readonly #readings: { hash: string; at: number; askedOpen: Map<string, number> }[] = []

  constructor(scheduler: Scheduler, hasInvoices = false) {
    this.#scheduler = scheduler
    this.#hasInvoices = hasInvoices
    this.network = new Network(scheduler)
    this.stores = new MemoryStores(scheduler, (what) => this.break(what))
    this.#ingress = new MemoryQueue(scheduler, { fifo: false, visibilityMs: 3_000 })
    this.#bells = new MemoryQueue(scheduler, { fifo: true, visibilityMs: BELL_MS + 2_000 })
    this.#deaths = scheduler.pick([0, 0.3, 1])
    this.#faults = scheduler.pick([0.005, 0.05])
    this.#slow = scheduler.pick([0.03, 0.15])
    this.#services = scheduler.pick([['liar', 'node'], ['node'], []])
    this.#settings = checkSettings({ commit: scheduler.pick(['always', 'always', 'never']) }, 'shop')
    const asked = { scripts: [GRIDS] }
    this.#grid = {
      path: 'grid',
      from: scheduler.pick(['now', 18, 23]),
      mempool: scheduler.chance(0.7),
      wanted: { filter: new ChainFilter(asked), asked },
    }
    const watch = { scripts: [WATCHED] }
    this.#watched = { filter: new ChainFilter(watch), asked: watch }
    this.#make('shop', 'own')
    scheduler.effected = (process) => {
      if (scheduler.fault(0.002 * this.#deaths)) this.kill(process)
    }
  }

  #make(path: string, kind: 'own' | 'chain') {
    const key = createHash('sha256').update(path).digest('hex')
    return (
      this.stores.pools.get(path)?.control ??
      this.stores.control.create({ kind, path, key, discoveryKey: key, createdAt: this.#scheduler.now })
    )
  }

  break(what: string): void {
    this.#scheduler.trace?.(`BROKEN: ${what}`)
    this.broken ??= what
  }

  #report(report: SidecarReport): void {
    if (report.kind === 'halted' || report.kind === 'bad-message') this.break(`${report.kind}: ${(report.error as Error).stack}`)
    if (
      report.kind === 'retrying' &&
      !/the schedule wants it so|is not to be had|names block/.test(String(report.error)) &&
      !isLie(report.error)
    )
      this.break(`it complains: ${(report.error as Error).stack}`)
  }

  // ---- the machine

  start(): void {
    const scheduler = this.#scheduler
    const process = new Process(`machine ${this.kills}`, scheduler)
    this.process = process
    const { clock } = process
    const port = <Name extends keyof Stores>(name: Name, store = this.stores[name] as Sync<Stores[Name]>) =>
      scheduler.port<Stores[Name]>(process, store, { chance: this.#faults, slow: this.#slow, port: name })
    const names = ['blocks', 'receipts', 'statuses', 'control', 'progress', 'state', 'leases', 'ancestors', 'invoices'] as const
    const stores = Object.fromEntries(names.map((name) => [name, port(name)])) as unknown as Stores
    const queue = (of: MemoryQueue) =>
      scheduler.port<Queue>(process, of, { chance: this.#faults }, (method, [options]) =>
        method === 'receive' ? of.hold(options as ReceiveOptions) : undefined,
      )
    const bells = queue(this.#bells)
    const report = (said: SidecarReport) => this.#report(said)
    const known: { follower?: ChainFollower } = {}
    const consumer = IngressConsumer.start({
      stores,
      ingress: queue(this.#ingress),
      cores: { open: async (path) => this.#coreOf(process, path), purge: () => Promise.reject(new Error('nothing is encrypted here')) },
      clock,
      ringers: (pool) => (pool.path.startsWith('_') ? [] : [{ handler: 'broadcaster', queue: bells, carryBytes: 0 }]),
      report,
      unique: () => false,
      chain: {
        proves: async (entry, txid) => known.follower?.proves(entry, txid) ?? false,
        isUndone: (hash) => known.follower?.isUndone(hash) ?? false,
      },
      sweepMs: 2_000,
    })
    const ingress = new DirectIngress({ queue: queue(this.#ingress), consumer, soon: queueMicrotask })
    consumer.writer('shop').catch(() => {})
    const open: Sync<Stores['statuses']>['open'] = (path, after) => {
      if (after === undefined && !process.dead) this.#askedOpen.set(path, scheduler.now)
      return this.stores.statuses.open(path, after)
    }
    known.follower = ChainFollower.start({
      sources: [this.#sourceOf(process, 'laggard'), this.#sourceOf(process, 'node')],
      network: 'regtest',
      stores: { ...stores, statuses: port('statuses', { ...this.stores.statuses, open }) },
      writers: consumer,
      clock,
      report,
      grids: () => [this.#grid],
      watched: ({ path }) => (path === 'shop' ? this.#watched : undefined),
      make: async (path) => this.#make(path, 'chain'),
      ingress: this.#hasInvoices ? ingress : undefined,
      lookMs: 500,
    })
    this.#pay270 = async (tx, invoice) => {
      const payment = checkPayment({ transaction: tx.toString('hex') })
      const [transaction, at] = [payment.scanned, clock.now()]
      const said = verdictOf(invoice, transaction, at)!
      const { id: entry } = await accept(
        { path: 'shop', ...this.#settings },
        payment,
        { source: 'http' },
        { ingress, now: clock.now },
        said,
      )
      await settle(stores, { pool: 'shop', entry, said, transaction, invoice, at })
    }
    this.#pools = new LedgerPools({ stores, ingress, clock, settings: () => this.#settings, broadcasts: true, postFailed: () => {} })
    const services = this.#services.map((name) => {
      const service = scheduler.port<Pick<Service, 'send' | 'ask'>>(process, this.network[name] as never, {
        chance: this.#faults,
        port: name,
      })
      return { name, send: service.send, ask: service.ask } as Pick<Service, 'name' | 'send' | 'ask'>
    })
    const broadcaster = new Broadcaster({ services, stores, ingress, clock, knowsChain: true })
    this.#broadcaster = broadcaster
    Tracker.start({ broadcaster, services, stores, clock, report, knowsChain: true, lookMs: 1_000, askMs: 2_000 })
    const alone = oneAfterTheOther()
    HandlerLoop.start({
      queue: queue(this.#bells),
      clock,
      report: () => {},
      answer: (bell, receives, stopping) =>
        answerBell(bell, this.stores.pool(bell.pool).control, receives, clock.elapsed() + BELL_MS, {
          ...this.#settings,
          handler: 'broadcaster',
          stores,
          clock,
          report: () => {},
          functions: broadcasterFunctions(broadcaster, (path) => (path === 'shop' ? this.#settings.commit : 'never'), this.#pools!, clock),
          retryMs: 200,
          retryMostMs: 5_000,
          alone,
          turn: async () => {},
          stopping,
        }),
    })
  }

  #coreOf(process: Process, path: string): PoolCore {
    const core = new MemoryCore(path, this.#disk, this.stores, (what) => this.break(what))
    const port = this.#scheduler.port<PoolCore>(process, core, { chance: 0, own: true })
    return {
      get length() {
        return core.length
      },
      append: (from, blocks) => port.append(from, blocks),
      has: (n) => port.has(n),
      get: (n) => port.get(n),
      treeHash: (length) => port.treeHash(length),
      tree: () => core.tree(),
      close: () => port.close(),
    }
  }

  #sourceOf(process: Process, name: 'laggard' | 'node'): ChainSource {
    type Node = Omit<Required<ChainSource>, 'block'> & { blockBytes(place: { height: number; hash: string }): Promise<Buffer> }
    const node = this.#scheduler.port<Node>(process, this.network[name] as never, { chance: this.#faults, port: name })
    const { network } = this
    const begins = (hash: string) => this.#readings.push({ hash, at: process.clock.now(), askedOpen: new Map(this.#askedOpen) })
    return {
      name,
      tip: () => node.tip(),
      headers: (from, limit) => node.headers(from, limit),
      headerOf: (hash) => node.headerOf(hash),
      async *block(place) {
        begins(place.hash)
        const bytes = await node.blockBytes(place)
        yield bytes.subarray(0, 100)
        await node.tip() // a while later
        yield bytes.subarray(100)
      },
      mempool: () => node.mempool(),
      transaction: (txid) => node.transaction(txid),
      watch: (hint) => network.hears((news) => void (process.dead || hint(news))),
      close: async () => {},
    }
  }

  kill(process = this.process): void {
    if (!process || process !== this.process) return
    this.kills++
    this.#scheduler.trace?.(`${process.name} is killed`)
    this.#scheduler.kill(process)
    this.process = undefined
    if (this.#scheduler.fault(0.2)) this.network.reorganise(1 + this.#scheduler.below(2)) // while it is dead
  }

  // ---- what happens to it

  happen(): void {
    const scheduler = this.#scheduler
    if (scheduler.chance(0.04) && this.#made < 24) this.#pay()
    if (this.#late.length && scheduler.chance(0.01)) this.#post(this.#late.shift()!)
    if (scheduler.chance(this.#hasFollowed ? 0.04 : 0.005)) this.network.mine(scheduler.pick([0.3, 1]))
    if (scheduler.fault(this.#hasFollowed ? 0.03 : 0.003)) {
      if (scheduler.chance(0.5)) this.network.comeBack()
      else this.network.reorganise(1 + scheduler.below(3))
      if (scheduler.chance(0.3 * this.#deaths)) this.#stepsLeft = scheduler.below(60)
    }
    if (scheduler.chance(0.05)) this.network.keepUp()
    if (scheduler.chance(0.02)) this.#broadcast()
    if (scheduler.chance(0.1)) this.#callBack()
    if (scheduler.fault(0.004 * this.#deaths) || this.#stepsLeft-- === 0) this.kill()
    if (scheduler.fault(0.002)) scheduler.outageUntil = scheduler.now + scheduler.below(5_000)
    if (!this.process) this.start()
  }

  /** Whether it has read the newest block: a machine that has has more to take back. */
  get #hasFollowed(): boolean {
    const last = this.stores.pools.get('_chain')?.entries.at(-1)
    return last?.kind === 'block' && last.hash === this.network.tip.hash
  }

  /** The last things that happen to it. */
  end(): void {
    const scheduler = this.#scheduler
    for (const tx of this.#late.splice(0)) this.#post(tx)
    if (scheduler.chance(0.5)) this.network.comeBack()
    for (let left = scheduler.below(4); left > 0; left--) this.#pay()
    if (scheduler.chance(0.5)) this.#broadcast()
  }

  /** A wallet posts a payment, or broadcasts one that the grid wants. */
  #pay(): void {
    const scheduler = this.#scheduler
    const number = this.#made++
    const spends = number > 0 && scheduler.chance(0.2) ? `coin ${number - 1}` : `coin ${number}`
    if (this.#hasInvoices && scheduler.chance(0.4)) {
      this.#payInvoice(spends, number)
      return
    }
    if (scheduler.chance(0.4)) {
      const tx = Network.transaction(spends, scheduler.pick([GRIDS, WATCHED]))
      const hasBegun = this.stores.pools.get('_chain')?.entries.length
      if (hasBegun && isFor(tx, WATCHED)) this.#awaited.add(scanTransaction(tx).txid)
      this.network.broadcast(tx)
      return
    }
    const tx = Network.transaction(spends, `${OURS}${'61'.repeat(number)}`)
    const { txid } = scanTransaction(tx)
    if (scheduler.chance(0.3)) {
      this.#committed.set(txid, { tx, acknowledged: false })
      this.#pools?.broadcast(tx.toString('hex'), { path: 'shop', id: txid }).then(
        () => {
          this.#committed.get(txid)!.acknowledged = true
        },
        () => {},
      )
      return
    }
    if (scheduler.chance(0.3)) {
      this.network.broadcast(tx)
      this.#late.push(tx)
    } else this.#post(tx)
  }

  /** Another process makes an invoice, and somebody sends money to its script, perhaps twice. Some wallets also post what they send. */
  #payInvoice(spends: string, number: number): void {
    const scheduler = this.#scheduler
    const [id, script] = [`invoice ${number}`, `${FRESH}${'61'.repeat(number)}`]
    const outputs = [{ satoshis: 0, script, keyPath: `0/${number}` }]
    const invoice: Invoice = { id, pool: 'shop', outputs, createdAt: scheduler.now }
    this.stores.invoices.watch(watchedOf(invoice)!)
    this.stores.invoices.make(invoice)
    for (const coin of scheduler.chance(0.3) ? [spends, `another ${spends}`] : [spends]) {
      const tx = Network.transaction(coin, script)
      if (scheduler.chance(0.3)) this.#pay270?.(tx, invoice).catch(() => {})
      if (this.stores.pools.get('_chain')?.entries.length) this.#sent.set(scanTransaction(tx).txid, id)
      this.network.broadcast(tx)
    }
  }

  #post(tx: Buffer): void {
    const { txid } = scanTransaction(tx)
    this.#posted.set(txid, { tx, acknowledged: false })
    this.#pools?.post({ path: 'shop', payment: { transaction: tx.toString('hex') }, id: txid }).then(
      () => {
        this.#posted.get(txid)!.acknowledged = true
      },
      () => {},
    )
  }

  /** Somebody else broadcasts what was posted. */
  #broadcast(): void {
    const all = [...this.#posted.values(), ...this.#committed.values()]
    if (all.length) this.network.broadcast(this.#scheduler.pick(all).tx)
  }

  /** A service says by itself what it knew a while ago. It may say so again. */
  #callBack(): void {
    const { callbacks } = this.network
    if (!callbacks.length || !this.process) return
    const word = this.#scheduler.pick(callbacks)
    if (this.#scheduler.chance(0.5)) callbacks.splice(callbacks.indexOf(word), 1)
    this.#broadcaster?.hear(word, 'a callback').catch(() => {})
  }

  // ---- laws

  /** What is not as it should be in the end; undefined if all is. */
  get unrest(): string | undefined {
    const { network } = this
    const shop = this.stores.pool('shop').entries
    const txids: string[] = shop.flatMap((entry) => (entry.kind === 'tx' ? [scanTransaction(entry.tx).txid] : []))
    if (new Set(txids).size < txids.length) return 'a payment is in the ledger twice'
    for (const [txid, { acknowledged }] of this.#posted) if (acknowledged && !txids.includes(txid)) return `lost: ${txid}`
    const givenUp = this.#givenUp()
    for (const [txid, { acknowledged }] of this.#committed)
      if (acknowledged && !givenUp.has(txid) && !this.#newest('shop').get(txid)) return `${txid.slice(0, 8)} was never broadcast`
    for (const txid of this.#awaited)
      if ((network.blockOf(txid) || network.mempool.has(txid)) && !txids.includes(txid))
        return `the shop lacks ${txid.slice(0, 8)}, which it watches for`
    const newest = this.#newest('shop')
    const paying = shop.flatMap((entry) =>
      entry.kind === 'tx' && entry.invoice ? [{ txid: scanTransaction(entry.tx).txid as string, ...entry.invoice }] : [],
    )
    for (const [txid, id] of this.#sent)
      if ((network.blockOf(txid) || network.mempool.has(txid)) && !paying.some((one) => one.txid === txid && one.id === id))
        return `the shop lacks ${txid.slice(0, 8)}, which pays ${id}`
    for (const id of new Set(paying.map((one) => one.id))) {
      const paid = paying.filter((one) => one.id === id && one.state === 'paid')
      const counting = paid.filter(({ txid }) => !newest.get(txid)?.final).length
      if (!paid.length || counting > 1) return `${id} was paid ${counting} times`
    }
    for (const path of ['_chain', 'grid']) {
      if (path === 'grid' && this.#grid.from !== 'now' && this.#grid.from > network.tip.height) continue // its first block is still to come
      const last = chainOf(this.stores.pools.get(path)?.entries ?? []).at(-1)
      if (last !== network.tip.hash) return `${path} has come to ${last?.slice(0, 8)} of ${network.tip.hash.slice(0, 8)}`
    }
    for (const path of ['shop', 'grid']) {
      for (const [txid, status] of this.#newest(path)) {
        const block = network.blockOf(txid)
        // Without services only the newest blocks are read again for what comes into the ledger after its block.
        const isUnasked = (!status && (this.#settings.commit === 'never' || givenUp.has(txid))) || !this.#services.length
        const isLost =
          isUnasked &&
          path === 'shop' &&
          (status?.status ?? 'local') === 'local' &&
          block &&
          block.height <= network.tip.height - MOST_RECENT
        if (isLost) continue
        const what = `${txid.slice(0, 8)} in ${path} is ${status?.status ?? 'local'} ${status?.blockHash?.slice(0, 8) ?? ''}`
        if (block && (status?.blockHash !== block.hash || status.status !== 'mined'))
          return `${what}, and mined in ${block.hash.slice(0, 8)}`
        if (!block && status?.status === 'mined') return `${what}, and in no block`
        if (!block && path === 'shop' && this.#settings.commit === 'always' && !status && !givenUp.has(txid))
          return `${what}, and was never sent`
        if (!block && network.mempool.has(txid) && status?.status !== 'seen' && status?.status !== 'double-spent' && path === 'shop')
          return `${what}, and the network has seen it`
        if (!block && status && status.status !== 'double-spent' && this.#isBeaten(path, txid))
          return `${what}, and another one spends its output`
      }
    }
    const found: string[] = this.stores
      .pool('grid')
      .entries.flatMap((entry) => (entry.kind === 'tx' ? [scanTransaction(entry.tx).txid] : []))
    if (new Set(found).size < found.length) return 'a transaction is in the grid twice'
    const first = this.stores.pool('grid').entries.find((entry) => entry.kind === 'block')
    for (const [txid, tx] of network.mempool)
      if (first && this.#grid.mempool && isFor(tx, GRIDS) && !found.includes(txid))
        return `the grid lacks ${txid.slice(0, 8)} of the mempool`
    for (const { transactions, height } of this.#best())
      for (const tx of transactions)
        if (isFor(tx, GRIDS) && first?.kind === 'block' && height > first.height && !found.includes(scanTransaction(tx).txid))
          return `the grid lacks a transaction of block ${height}`
    return undefined
  }

  /**
   * Whether the machine has to know that another transaction which spends the same output is mined. With no service it knows that if this one was open when it asked what is open,
   * before it read that block. A margin in time would not do: many slow requests lie between the two.
   */
  #isBeaten(path: string, txid: string): boolean {
    const winner = this.network.winnerOver(txid)
    if (!winner || this.#services.length) return winner !== undefined
    const read = this.stores.pool('_chain').entries.findLast((entry) => entry.kind === 'block' && entry.hash === winner.hash)
    const reading = read && this.#readings.findLast(({ hash, at }) => hash === winner.hash && at <= read.at)
    return (this.stores.pool(path).statusAt.get(txid) ?? Number.POSITIVE_INFINITY) < (reading?.askedOpen.get(path) ?? 0)
  }

  /** The transactions that the broadcaster has given up sending: it is for an operator to go on. */
  #givenUp(): Set<string> {
    const { entries } = this.stores.pool('shop')
    const letters = [...(this.stores.dead.get('broadcaster shop')?.keys() ?? [])]
    return new Set(
      letters.flatMap((seq) => {
        const entry = entries[seq]!
        if (entry.kind !== 'commit') return txidOf(entry) ?? []
        return entry.of.map((one) => ('tx' in one ? scanTransaction(one.tx).txid : one.txid))
      }),
    )
  }

  *#best() {
    for (let block: Network['tip'] | undefined = this.network.tip; block; block = block.previous) yield block
  }

  #newest(path: string): Map<string, TxStatus | undefined> {
    const newest = new Map<string, TxStatus | undefined>()
    for (const entry of this.stores.pool(path).entries) {
      const txid = txidOf(entry)
      if (txid !== undefined) newest.set(txid, statusIn(entry))
    }
    return newest
  }

  /** Laws of what is written, whenever it was. */
  checkHistory(): void {
    for (const [path, { entries }] of this.stores.pools) {
      if (path === 'shop' || path === 'grid') this.#checkStatuses(path, entries)
      if (path !== 'shop') this.#checkBlocks(path, entries)
    }
  }

  #checkStatuses(path: string, entries: Entry[]): void {
    const now = new Map<string, TxStatus>()
    for (const [seq, entry] of entries.entries()) {
      const txid = txidOf(entry)
      const status = statusIn(entry)
      if (txid === undefined || !status) continue
      if (entry.kind === 'status' && !follows(now.get(txid), entry))
        this.break(`a status that changes nothing: ${path} #${seq}, ${now.get(txid)?.status as StatusName}, then ${entry.status}`)
      const block = status.blockHash === undefined ? undefined : this.network.blocks.get(status.blockHash)
      if (status.status === 'mined' && !block?.transactions.some((tx) => scanTransaction(tx).txid === txid))
        this.break(`mined in a block that does not have it: ${path} #${seq}`)
      now.set(txid, status)
    }
  }

  #checkBlocks(path: string, entries: Entry[]): void {
    const chain: string[] = []
    const mined = new Map<string, string>()
    for (const [seq, entry] of entries.entries()) {
      const status = statusIn(entry)
      const txid = txidOf(entry)
      if (entry.kind === 'tx' && entry.source === 'chain' && chain.includes(entry.blockHash!))
        this.break(`a transaction comes after its block in ${path}: #${seq}`)
      if (txid !== undefined && status) mined.set(txid, status.blockHash ?? '')
      if (entry.kind === 'block') {
        if (chain.length && readHeader(entry.header).previous !== chain.at(-1)) this.break(`the blocks of ${path} are no chain: #${seq}`)
        chain.push(entry.hash)
        for (const hash of mined.values())
          if (hash && this.network.blocks.get(hash)!.height >= entry.height && hash !== entry.hash)
            this.break(`a block is in ${path} before what another one had was taken back: #${seq}`)
      }
      if (entry.kind === 'reorg') {
        if (entry.from.hash !== chain.at(-1)) this.break(`a reorganisation of ${path} begins elsewhere: #${seq}`)
        for (const hash of entry.undone) {
          if (chain.at(-1) === hash) chain.pop()
          if ([...mined.values()].includes(hash)) this.break(`a reorganisation is in ${path} before what was mined is taken back: #${seq}`)
        }
        if (!chain.length) chain.push(entry.to.hash)
        if (chain.at(-1) !== entry.to.hash) this.break(`a reorganisation of ${path} ends elsewhere: #${seq}`)
      }
    }
  }
}

/** Whether a made-up transaction pays to this script. */
function isFor(tx: Buffer, script: string): boolean {
  return tx.toString('hex').includes(`0001${script}00000000`)
}

/** The transaction that an entry is, or says something of. */
function txidOf(entry: Entry): string | undefined {
  if (entry.kind === 'tx') return scanTransaction(entry.tx).txid
  return entry.kind === 'status' ? entry.of.txid : undefined
}

/** Whether a source was found out: what it said was no block of the chain. */
function isLie(error: unknown): boolean {
  return error instanceof OverpoolError && ['BAD_BLOCK', 'CHAIN_LIES'].includes(error.code)
}

/** The blocks that a pool has in the end. */
function chainOf(entries: Entry[]): string[] {
  const chain: string[] = []
  for (const entry of entries) {
    if (entry.kind === 'block') chain.push(entry.hash)
    if (entry.kind === 'reorg') {
      while (chain.length && entry.undone.includes(chain.at(-1)!)) chain.pop()
      if (!chain.length) chain.push(entry.to.hash)
    }
  }
  return chain
}
