import { createHash } from 'node:crypto'
import type { Outgoing, Word } from '../../shared/broadcast/service.ts'
import { readHeader } from '../../shared/chain/header.ts'
import { MerkleStream } from '../../shared/chain/merkle.ts'
import { varint } from '../../shared/transaction/data.ts'
import { digestOf } from '../../shared/transaction/digest.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import type { HeaderAt, News, Place } from '../../sidecar/chain/source.ts'
import { headerAfter, REGTEST, rootOf } from '../chain/blocks.ts'
import type { Scheduler } from './scheduler.ts'

/** A block of the made-up network. */
interface MadeBlock {
  height: number
  hash: string
  header: Buffer
  /** of the block before; undefined for the first one */
  previous: MadeBlock | undefined
  transactions: Buffer[]
}

/** Blocks at the beginning, so that a reorganisation can reach back behind the start of the machine. */
const FIRST_BLOCKS = 20

/** A network in memory: its miners, its mempool and a node, which answers as a real one does. Blocks and transactions are real ones. */
export class Network {
  tip: MadeBlock
  readonly mempool = new Map<string, Buffer>()
  /** all transactions that there ever were */
  readonly #known = new Map<string, Buffer>()
  /** what services have to say by themselves: each word may come late, and more than once */
  readonly callbacks: Word[] = []
  /** transactions that a service has taken */
  readonly #taken = new Set<string>()
  /** the tip of a node that lags behind */
  #lagging: MadeBlock
  /** all blocks that there ever were */
  readonly blocks = new Map<string, MadeBlock>()
  reorganisations = 0
  readonly #hints = new Set<(news: News) => void>()
  readonly #scheduler: Scheduler

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
    const header = Buffer.from(REGTEST.headers[0]!, 'hex')
    this.tip = { height: 0, hash: readHeader(header).hash, header, previous: undefined, transactions: [] }
    this.blocks.set(this.tip.hash, this.tip)
    for (let i = 0; i < FIRST_BLOCKS; i++) this.mine(0)
    this.#lagging = this.tip
  }

  /** A transaction that spends one output, and pays to a script. Two that spend the same output are rivals. */
  static transaction(spends: string, script: string): Buffer {
    const outpoint = createHash('sha256').update(spends).digest('hex')
    const output = `${'00'.repeat(8)}${varint(script.length / 2).toString('hex')}${script}`
    return Buffer.from(`0100000001${outpoint}0000000000ffffffff01${output}00000000`, 'hex')
  }

  /** The chain, from the newest block on. */
  *#chain(tip = this.tip): Generator<MadeBlock> {
    for (let block: MadeBlock | undefined = tip; block; block = block.previous) yield block
  }

  /** The block of the best chain that has this transaction. */
  blockOf(txid: string): MadeBlock | undefined {
    for (const block of this.#chain()) if (block.transactions.some((tx) => scanTransaction(tx).txid === txid)) return block
    return undefined
  }

  /** The block of the best chain that has another transaction which spends the same output as this one. */
  winnerOver(txid: string): MadeBlock | undefined {
    const tx = this.#known.get(txid)
    const winner = tx && rivalOf(tx, this.#mined())
    return winner === undefined ? undefined : this.blockOf(winner)
  }

  #mined(): Buffer[] {
    return [...this.#chain()].flatMap(({ transactions }) => transactions.slice(1))
  }

  /** Somebody broadcasts a transaction. @returns the txid of the one that stands in its way */
  broadcast(tx: Buffer): string | undefined {
    const { txid } = scanTransaction(tx)
    if (this.blockOf(txid) || this.mempool.has(txid)) return undefined
    this.#known.set(txid, tx)
    const rival = rivalOf(tx, [...this.mempool.values(), ...this.#mined()])
    if (rival !== undefined) return rival
    this.mempool.set(txid, tx)
    this.#tell(this.#scheduler.chance(0.7) ? { tx } : {})
    return undefined
  }

  /** Mines a block with about this share of the mempool. */
  mine(share: number): void {
    const { height, header } = this.tip
    const taken = [...this.mempool].filter(() => this.#scheduler.chance(share))
    const transactions = [coinbaseOf(height + 1, this.blocks.size), ...taken.map(([, tx]) => tx)]
    const next = headerAfter(header, {
      root: Buffer.from(rootOf(transactions)),
      time: Math.floor(this.#scheduler.now / 1_000) - 5_000 + height + 1 + this.blocks.size,
    })
    this.tip = { height: height + 1, hash: readHeader(next).hash, header: next, previous: this.tip, transactions }
    this.blocks.set(this.tip.hash, this.tip)
    for (const [txid] of taken) this.mempool.delete(txid)
    for (const [txid, tx] of taken) {
      if (this.#taken.has(txid)) this.callbacks.push(minedIn(txid, this.tip))
      if (this.#scheduler.chance(0.3)) this.#tell({ tx }) // nodes also publish what they find in a block
    }
    if (this.#scheduler.chance(0.7)) this.#tell({ block: true })
  }

  /** Takes the newest blocks back and mines others, one more. */
  reorganise(depth: number): void {
    let fork = this.tip
    for (let i = 0; i < depth && fork.previous; i++) fork = fork.previous
    this.#goTo(fork, depth + 1)
  }

  /** Comes back to a block that was taken back. */
  comeBack(): void {
    const left = [...this.blocks.values()].filter(({ height, hash }) => height >= this.tip.height - 3 && hash !== this.tip.hash)
    const best = new Set([...this.#chain()].map(({ hash }) => hash))
    const off = left.filter(({ hash }) => !best.has(hash))
    const telling = off.filter(({ transactions }) => transactions.length > 1)
    const back = telling.length ? telling : off
    if (back.length) {
      const block = this.#scheduler.pick(back)
      this.#goTo(block, this.tip.height + 1 - block.height)
    }
  }

  /** Goes on from another block with so many new ones. */
  #goTo(block: MadeBlock, count: number): void {
    this.reorganisations++
    const unconfirmed = [...this.mempool.values()]
    const before = this.#mined()
    this.tip = block
    this.mempool.clear()
    const now = this.#mined()
    const undone = before.filter((tx) => !now.some((other) => other.equals(tx)))
    for (const tx of undone) {
      const { txid } = scanTransaction(tx)
      if (this.#taken.has(txid)) this.callbacks.push({ txid, says: 'seen', reorganised: true, mark: String(this.reorganisations) })
    }
    for (const tx of undone) {
      // A rival may be first now.
      const rival = rivalOf(tx, [...this.#known.values()])
      if (rival !== undefined && this.#scheduler.chance(0.3)) this.broadcast(this.#known.get(rival)!)
      if (this.#scheduler.chance(0.8)) this.broadcast(tx)
    }
    for (const tx of unconfirmed) this.broadcast(tx)
    for (let i = 0; i < count; i++) this.mine(this.#scheduler.pick([0, 0.5]))
    for (const tx of undone) this.broadcast(tx)
  }

  /** The node that lags behind has heard of the newest blocks. */
  keepUp(): void {
    this.#lagging = this.tip
  }

  #tell(news: News): void {
    for (const hint of this.#hints) hint(news)
  }

  hears(hint: (news: News) => void): void {
    this.#hints.add(hint)
  }

  // ---- what nodes answer

  readonly node = {
    ...this.#sourceAt(() => this.tip),
    send: (transactions: Outgoing[]): Word[] =>
      transactions.map(({ tx, txid }) => {
        const rival = this.broadcast(Buffer.from(tx))
        this.#taken.add(txid)
        if (this.#scheduler.fault(0.1)) return { txid, says: this.#scheduler.pick(['local', 'rejected', 'unknown']), reason: 'it is busy' }
        return rival === undefined
          ? { txid, says: this.#scheduler.pick(['sent', 'seen']) }
          : { txid, says: 'double-spent', reason: 'conflict', competing: [rival] }
      }),
    ask: (txid: string): Word => {
      const block = this.blockOf(txid)
      if (block) return minedIn(txid, block)
      return { txid, says: this.mempool.has(txid) ? 'seen' : 'unknown' }
    },
  }

  /** A node that hears of blocks later than others. While faults are on it lies now and then. */
  readonly laggard = this.#sourceAt(() => (this.#scheduler.faulty ? this.#lagging : this.tip))

  /** A service that does not know what it says of blocks. */
  readonly liar = {
    send: (transactions: Outgoing[]): Word[] => this.node.send(transactions),
    ask: (txid: string): Word => {
      const word = this.node.ask(txid)
      if (!this.#scheduler.fault(0.3)) return word
      const block = this.#scheduler.pick([...this.blocks.values()].slice(1))
      const { proof = proofOf(scanTransaction(block.transactions[0]!).txid, block) } = word
      return this.#scheduler.pick<Word>([
        { txid, says: 'mined', height: block.height, blockHash: block.hash, proof },
        { ...word, says: 'mined', height: this.tip.height + 1, blockHash: word.blockHash ?? block.hash, proof },
        { txid, says: 'mined', height: block.height, blockHash: block.hash },
        { txid, says: 'seen', reorganised: true, mark: String(this.reorganisations) },
        { txid, says: 'rejected', reason: 'it says so' },
      ])
    },
  }

  #sourceAt(tip: () => MadeBlock) {
    const has = (hash: string) => [...this.#chain(tip())].some((block) => block.hash === hash)
    return {
      tip: (): Place => ({ height: tip().height, hash: tip().hash }),
      headers: (from: number, limit: number): HeaderAt[] =>
        [...this.#chain(tip())]
          .reverse()
          .slice(from, from + limit)
          .map(({ height, header }) => ({ height, header })),
      headerOf: (hash: string): HeaderAt | undefined => {
        const block = has(hash) ? this.blocks.get(hash) : undefined
        return block && { height: block.height, header: block.header }
      },
      blockBytes: ({ hash }: Place): Buffer => {
        const { header, transactions } = this.blocks.get(hash)!
        const given =
          tip() !== this.tip && transactions.length > 1 && this.#scheduler.fault(0.05) ? transactions.slice(0, -1) : transactions
        return Buffer.concat([header, varint(given.length), ...given])
      },
      mempool: (): string[] => [...this.mempool.keys()],
      transaction: (txid: string): Uint8Array | undefined => this.mempool.get(txid),
    }
  }
}

/** Another one of these transactions that spends the same output. */
function rivalOf(tx: Buffer, others: Buffer[]): string | undefined {
  const of = outpointOf(tx)
  const rival = others.find((other) => !other.equals(tx) && outpointOf(other) === of)
  return rival && scanTransaction(rival).txid
}

function outpointOf(tx: Buffer): string {
  const [one] = scanTransaction(tx).readInputs()
  return `${one!.txid}:${one!.vout}`
}

function minedIn(txid: string, block: MadeBlock): Word {
  return { txid, says: 'mined', height: block.height, blockHash: block.hash, proof: proofOf(txid, block) }
}

function proofOf(txid: string, { height, transactions }: MadeBlock): Uint8Array {
  const tree = new MerkleStream()
  for (const tx of transactions) tree.add(digestOf(tx), scanTransaction(tx).txid === txid)
  const [leaf] = tree.proofs(height)
  return leaf!.proof
}

function coinbaseOf(height: number, nonce: number): Buffer {
  const script = Buffer.alloc(9, 8)
  script.writeUInt32LE(height, 1)
  script.writeUInt32LE(nonce, 5)
  return Buffer.from(
    `0100000001${'00'.repeat(32)}ffffffff09${script.toString('hex')}ffffffff0100f2052a010000000151${'00'.repeat(4)}`,
    'hex',
  )
}
