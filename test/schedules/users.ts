import { checkPayment } from '../../shared/bip270/payment.ts'
import { accept } from '../../shared/machine/accept.ts'
import { redrive } from '../../shared/machine/progress.ts'
import { paymentOf, type Wish } from './handler.ts'
import type { World } from './world.ts'

/** A payment that a wallet or a program posts. */
interface Post {
  pool: string
  wish: Wish
  source: 'http' | 'api' | 'named'
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
    this.#posts.push(post)
    this.#send(post)
  }

  #send({ pool, wish, source }: Post): void {
    const beside = this.#world.scheduler.chance(0.5) ? this.#world.besideSidecar : undefined
    const process = beside?.process ?? this.#world.process('door')
    const ingress = beside?.ingress ?? this.#world.queueOf(process, this.#world.ingress)
    const payment = paymentOf(`payment ${wish.n}`, wish)
    const door = { path: pool, ...this.#world.settings(pool) }
    const posting =
      source === 'http'
        ? accept(door, checkPayment(payment), { source }, { ingress, now: process.clock.now })
        : this.#world.poolsOf(process, ingress).post({ path: pool, payment, id: source === 'named' ? `named ${wish.n}` : undefined })
    posting.then(
      ({ id, hash: txid }) => {
        this.#world.checkAcknowledged(pool, { id, txid })
        this.acknowledged.set(id, { id, txid, pool })
      },
      () => {},
    )
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
    redrive(handler, path, skip, deps).catch(() => {})
  }
}
