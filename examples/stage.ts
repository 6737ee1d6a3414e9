// What every story needs: a Bitcoin node on regtest, machines that are started by the ordinary command line, and people with wallets. All of it is shown on the
// terminal, and ends with the story.

import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { P2PKH, PrivateKey, SatoshisPerKilobyte, Transaction } from '@bsv/sdk'
import { OWN, RegtestNode, regtestNode, type UsersNode, usersNode } from '../test/bitcoin/node.ts'

const MAIN = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
/** Names are shown in a column of this width. */
const WIDTH = 10
/** What somebody has at the beginning, satoshis. */
const COIN = 100_000
/** Longest wait for what a machine is to print, ms. */
const LONGEST_MS = 60_000
const JSON_TYPE = { 'Content-Type': 'application/json' }

/** What a process prints. */
interface Prints {
  /** Resolves when it has printed a line like this. */
  says(line: RegExp): Promise<RegExpExecArray>
}

/** A machine that runs: a process of its own, in a folder of its own. What it prints comes from its handlers. */
export interface Machine extends Prints {
  name: string
  /** its pools, by their names: public key, and the address to which wallets post */
  pools: Record<string, { key: string; url: string }>
}

/** The key of somebody, with one coin. */
export class Wallet {
  readonly name: string
  readonly key = PrivateKey.fromRandom()
  readonly address = this.key.toAddress()
  #coin: { transaction: Transaction; vout: number } | undefined

  constructor(name: string) {
    this.name = name
  }

  /** Takes an output that pays to this key as its coin. */
  take(hex: string, vout: number): void {
    this.#coin = { transaction: Transaction.fromHex(hex), vout }
  }

  /** Signs a payment out of the coin; the change is the next coin. Nothing is broadcast. */
  async pay(address: string, satoshis: number): Promise<Transaction> {
    const transaction = await this.draft(address, satoshis)
    this.#coin = { transaction, vout: 1 }
    return transaction
  }

  /** The same, but the coin stays: another payment out of it takes the place of this one. */
  async draft(address: string, satoshis: number): Promise<Transaction> {
    const { transaction: sourceTransaction, vout: sourceOutputIndex } = this.#coin!
    const transaction = new Transaction()
    transaction.addInput({ sourceTransaction, sourceOutputIndex, unlockingScriptTemplate: new P2PKH().unlock(this.key) })
    transaction.addOutput({ lockingScript: new P2PKH().lock(address), satoshis })
    transaction.addOutput({ lockingScript: new P2PKH().lock(this.address), change: true })
    await transaction.fee(new SatoshisPerKilobyte(500))
    await transaction.sign()
    return transaction
  }
}

/** Where a story happens. */
export class Stage {
  readonly #example: string
  /** Each machine has a folder in it. One that OVERPOOL_DIR names is kept. */
  readonly #folder: string
  /** what has been started, in this order */
  readonly #running: ChildProcess[] = []
  #node: UsersNode | undefined
  #dht: string | undefined
  #stopping: ChildProcess | undefined

  constructor(example: string) {
    this.#example = fileURLToPath(new URL(`${example}/`, import.meta.url))
    this.#folder = process.env.OVERPOOL_DIR || mkdtempSync(join(tmpdir(), `overpool-${example}-`))
  }

  /** Tells what happens that no program prints. */
  tell(text: string): void {
    console.log(text)
  }

  /** The node: a fresh one, or that at BITCOIN_RPC_URL. */
  async node(): Promise<UsersNode> {
    if (this.#node) return this.#node
    console.log(OWN === undefined ? 'miner$ bitcoind -regtest' : inColumn('miner', ' ', 'has a node at BITCOIN_RPC_URL'))
    this.#node = OWN === undefined ? await regtestNode() : await usersNode(OWN)
    return this.#node
  }

  /** Puts all that was broadcast into a block. */
  async mine(): Promise<void> {
    const node = await this.node()
    console.log('miner$ bitcoin-cli generate 1')
    await node.generate(1)
  }

  /** The miner asks the node, and shows what it answers. */
  async ask(method: string): Promise<void> {
    const node = await this.node()
    console.log(`miner$ bitcoin-cli ${method}`)
    console.log(JSON.stringify(await node.rpc(method)))
  }

  /** Somebody with a coin, which is in a block. */
  async wallet(name: string): Promise<Wallet> {
    const node = await this.node()
    const wallet = new Wallet(name)
    const { hex, vout } = await node.fund(new P2PKH().lock(wallet.address).toHex(), COIN)
    await node.generate(1)
    wallet.take(hex, vout)
    console.log(inColumn(name, ' ', `has a coin of ${COIN} sat`))
    return wallet
  }

  /** Somebody broadcasts a transaction without any machine of ours. */
  async broadcast({ name }: Wallet, transaction: Transaction): Promise<void> {
    const hex = transaction.toHex()
    console.log(`${name}$ bitcoin-cli sendrawtransaction ${shortened(hex)}`)
    await (await this.node()).rpc('sendrawtransaction', hex)
  }

  /** Somebody posts a payment, as a wallet does. */
  async post(name: string, url: string, transaction: string, memo?: string): Promise<void> {
    console.log(`${name}$ ${shortened(this.curl(url, transaction, memo))}`)
    const response = await fetch(url, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ transaction, memo }) })
    const answer = (await response.json()) as { memo: string }
    if (!response.ok) console.log(inColumn(name, ' ', `gets ${response.status}: ${answer.memo}`))
  }

  /** The same as a line for a terminal. */
  curl(url: string, transaction: string, memo?: string): string {
    return `curl ${url} -H 'Content-Type: application/json' -d '${JSON.stringify({ transaction, memo })}'`
  }

  /** The folder of a machine. */
  folderOf(name: string): string {
    return join(this.#folder, name)
  }

  /** Starts a machine in the folder of the example. Resolves when it takes payments. */
  start(name: string, env: NodeJS.ProcessEnv = {}): Promise<Machine> {
    const started = Promise.withResolvers<Machine>()
    const output = new Output(name)
    const read = (line: string) => {
      const { pools, printed } = JSON.parse(line) as { pools?: { path: string; key: string; url: string }[]; printed?: string }
      const says = (what: RegExp) => output.says(what, process)
      if (pools) started.resolve({ name, pools: Object.fromEntries(pools.map(({ path, ...pool }) => [path, pool])), says })
      if (printed !== undefined) output.print(printed)
    }
    const process = this.#overpool(name, ['start', '--port', '0', '--json'], { ...this.#places(), ...env, NAME: name }, read)
    process.once('exit', (code) => started.reject(new Error(`${name} has ended with ${code}`)))
    return started.promise
  }

  /** Runs a command of the machine, and waits for its end. */
  async run(name: string, ...args: string[]): Promise<void> {
    await once(
      this.#overpool(name, args, {}, (line) => console.log(shortened(line))),
      'close',
    )
  }

  /** Runs a program of the example, in a folder of its own. `ended` rejects if it fails. */
  program(name: string, args: string[], keys: NodeJS.ProcessEnv): Prints & { ended: Promise<void> } {
    console.log(`${name}$ node ${args.map((arg) => quoted(shortened(arg))).join(' ')}`)
    const output = new Output(name)
    const env = { ...this.#places(), OVERPOOL_DIR: this.folderOf(name), ...keys }
    // In this repository the package is its source. In a project of your own it is installed, and needs no condition.
    const process = this.#spawn(name, ['--conditions=overpool-source', ...args], env, (line) => output.print(line))
    const ended = once(process, 'close').then(([code]) => {
      if (code !== 0) throw new Error(`${args[0]} has ended with ${code}`)
    })
    return { says: (what) => output.says(what, process), ended }
  }

  /** Starts a DHT on this computer, where the machines that start from now on find one another. */
  async dht(): Promise<void> {
    const socket = createSocket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    const { port } = socket.address()
    await new Promise<void>((resolve) => socket.close(resolve))
    await new Promise<void>((resolve) => this.#overpool('dht', ['dht', '--port', String(port)], {}, () => resolve()))
    this.#dht = `127.0.0.1:${port}`
  }

  /** Ends all that was started: the newest first, so that machines can sign off from the network. */
  async close(): Promise<void> {
    for (const child of this.#running.reverse()) {
      const exited = once(child, 'exit')
      this.#stopping = child
      if (child.exitCode === null && child.kill('SIGINT')) await exited
    }
    if (this.#node instanceof RegtestNode) await this.#node.remove()
    if (this.#folder !== process.env.OVERPOOL_DIR) rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Has the machine that is stopping end at once. */
  hurry(): void {
    this.#stopping?.kill('SIGINT')
  }

  /** Where the network and the node are, for configs. */
  #places(): NodeJS.ProcessEnv {
    const node = this.#node
    return {
      ...(this.#dht !== undefined && { DHT: this.#dht }),
      ...(node && { BITCOIN_NODE: node.url, BITCOIN_USER: node.user, BITCOIN_PASSWORD: node.password }),
    }
  }

  #overpool(name: string, args: string[], env: NodeJS.ProcessEnv, print: (line: string) => void): ChildProcess {
    console.log(`${name}$ overpool ${args.map(shortened).join(' ')}`)
    return this.#spawn(name, [MAIN, '--dir', this.folderOf(name), ...args], env, print)
  }

  #spawn(name: string, args: string[], env: NodeJS.ProcessEnv, print: (line: string) => void): ChildProcess {
    const child = spawn(process.execPath, args, {
      cwd: this.#example,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // Ctrl-C comes to us alone, and we stop them in their order
    })
    createInterface(child.stdout!).on('line', print)
    createInterface(child.stderr!).on('line', (line) => console.log(inColumn(name, '!', messageIn(line))))
    this.#running.push(child)
    return child
  }
}

/** What a process has printed. */
class Output {
  readonly #name: string
  readonly #lines: string[] = []
  /** looks for what is waited for */
  #look = () => {}

  constructor(name: string) {
    this.#name = name
  }

  print(line: string): void {
    console.log(inColumn(this.#name, '|', shortened(line)))
    this.#lines.push(line)
    this.#look()
  }

  /** Resolves when a line like this was printed; rejects if the process ends before. */
  says(what: RegExp, process: ChildProcess): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${this.#name} has not printed ${what}${why}`))
      const late = setTimeout(() => fail(` in ${LONGEST_MS / 1_000} s`), LONGEST_MS)
      const ended = () => fail(': it has ended')
      process.once('close', ended)
      this.#look = () => {
        const found = this.#lines.map((line) => what.exec(line)).find((match) => match !== null)
        if (!found) return
        clearTimeout(late)
        process.off('close', ended)
        resolve(found)
      }
      this.#look()
    })
  }
}

/** A line about somebody. `|` marks what their program prints, `!` its log. */
function inColumn(name: string, mark: string, text: string): string {
  return `${name.padEnd(WIDTH)} ${mark} ${text}`
}

function quoted(arg: string): string {
  return /^[\w./-]*$/.test(arg) ? arg : `'${arg}'`
}

/** What a line of a log says. */
function messageIn(line: string): string {
  return line.startsWith('{') ? (JSON.parse(line) as { message: string }).message : line
}

/** Keys and transactions, by their first digits. */
function shortened(text: string): string {
  return text.replace(/([0-9a-f]{8})[0-9a-f]{56,}/g, '$1…')
}
