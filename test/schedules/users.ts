import { checkPayment } from '../../shared/bip270/payment.ts'
import { accept, type PoolDoor } from '../../shared/machine/accept.ts'
import { redrive } from '../../shared/machine/progress.ts'
import { settle } from '../../shared/machine/settle.ts'
import type { Ingress } from '../../shared/queue/port.ts'
import { paymentOf, type Wish } from './handler.ts'
import type { Process } from './scheduler.ts'
import type { World } from './world.ts'

/** A payment that a wallet or a program posts. */
interface Post {
  pool: string
  wish: Wish
  source: 'http' | 'api' | 'named'
  /** the invoice that it pays in full */
  invoice?: string
}

const SOURCES = ['http', 'http', 'api', 'named'] as const

/** A post that was acknowledged. */
export interface Acknowledged {
  id: string
  txid: string
}

/** The users of the machine: wallets and programs that post, and the operator. */
export class Users {
  /** acknowledged posts by their ids, with their pools */
  readonly acknowledged = new Map<string, Acknowledged & { pool: string }>()
  /** posts whose payers were told that their invoice is paid, by their ids */
  readonly toldPaid = new Map<string, { pool: string; invoice: string }>()
  readonly #world: World
  readonly #posts: Post[] = []
  readonly #maxPosts: number
  readonly #hasLoops: boolean

  constructor(world: World) {
    const { scheduler } = world
    this.#world = world
    this.#maxPosts = 4 + scheduler.below(12)
    this.#hasLoops = scheduler.chance(0.75)
  }

  get postsLeft(): number {
    return this.#maxPosts - this.#posts.length
  }

  /** Makes a new post, or repeats an old one, as a wallet does after a time-out. */
  post(): void {
    const { scheduler } = this.#world
    if (this.#posts.length && scheduler.fault(0.3)) this.#sendAgain(scheduler.pick(this.#posts))
    else if (this.postsLeft) this.#postNew()
  }

  /** In a pool that takes each transaction once, it may be posted in another way. */
  #sendAgain(post: Post): void {
    const { scheduler } = this.#world
    const isUnique = this.#world.settings(post.pool).unique === 'transaction'
    this.#send(isUnique ? { ...post, source: scheduler.pick(SOURCES) } : post)
  }

  #postNew(): void {
    const { scheduler, paths, isFaultless } = this.#world
    const how = scheduler.pick(['await', 'await', 'forget', 'name', 'fickle'] as const)
    const poison = scheduler.pick(['before', 'after', isFaultless ? 'after' : 'kill'] as const)
    const wish: Wish = {
      n: this.#posts.length,
      ...(this.#hasLoops && scheduler.chance(0.7) && { loop: scheduler.pick(paths), how }),
      ...(scheduler.chance(0.08) && { poison }),
      ...(scheduler.chance(0.1) && { slow: true }),
      sync: scheduler.chance(0.3),
    }
    const post: Post = { pool: scheduler.pick(paths), wish, source: scheduler.pick(SOURCES) }
    // Several pay one invoice. A pool that takes each transaction once may have it by another post.
    if (post.source === 'http' && this.#world.settings(post.pool).unique === 'payment' && wish.n % 3) post.invoice = `invoice ${wish.n % 2}`
    this.#posts.push(post)
    this.#send(post)
  }

  #send({ pool, wish, source, invoice }: Post): void {
    const beside = this.#world.scheduler.chance(0.5) ? this.#world.besideSidecar : undefined
    const process = beside?.process ?? this.#world.process('door')
    const ingress = beside?.ingress ?? this.#world.queueOf(process, this.#world.ingress)
    const payment = paymentOf(`payment ${wish.n}`, wish)
    const door = { path: pool, ...this.#world.settings(pool) }
    const posting =
      source === 'http'
        ? this.#pay(door, payment, invoice, { process, ingress })
        : this.#world.poolsOf(process, ingress).post({ path: pool, payment, id: source === 'named' ? `named ${wish.n}` : undefined })
    posting.then(
      ({ id, hash: txid }) => {
        this.#world.checkAcknowledged(pool, { id, txid })
        this.acknowledged.set(id, { id, txid, pool })
      },
      () => {},
    )
  }

  /** A wallet's post at the door. What pays an invoice is accepted first; then it is decided whether the invoice is paid. */
  async #pay(
    door: PoolDoor,
    payment: object,
    invoice: string | undefined,
    { process, ingress }: { process: Process; ingress: Ingress },
  ): Promise<{ id: string; hash: string }> {
    const checked = checkPayment(payment)
    const deps = { ingress, now: process.clock.now }
    if (invoice === undefined) return accept(door, checked, { source: 'http' }, deps)
    const said = { id: invoice, state: 'paid', received: 1 }
    const accepted = await accept(door, checked, { source: 'http' }, deps, said)
    const held = { pool: door.path, entry: accepted.id, said, transaction: checked.scanned, at: process.clock.now() }
    const { state } = await settle(this.#world.storesOf(process), held)
    if (state === 'paid') this.toldPaid.set(accepted.id, { pool: door.path, invoice })
    return accepted
  }

  /** The operator lets a handler retry its dead letters, or skip the entry where it stopped. */
  operate(): void {
    const { scheduler, stores, paths, handlers, bells } = this.#world
    const path = scheduler.pick(paths)
    const handler = scheduler.pick(handlers)
    const { stopped } = stores.progress.readCursor(handler, path)
    if (stopped === undefined && !stores.progress.listDead(handler, path).length) return
    const process = this.#world.process('operator')
    const skip = stopped !== undefined && scheduler.chance(0.5)
    const deps = { stores: this.#world.storesOf(process), bells: this.#world.queueOf(process, bells.get(handler)!), clock: process.clock }
    redrive(handler, path, { skip, ...(!skip && scheduler.chance(0.3) && { only: { error: '' } }) }, deps).catch(() => {})
  }
}
