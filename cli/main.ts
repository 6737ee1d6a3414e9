#!/usr/bin/env node
import '#node-version' // must stay first: a Node that is too old fails here, with a clear error

import { isIPv4 } from 'node:net'
import { resolve } from 'node:path'
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { explained } from '../local/explain.ts'
import { readEnv } from '../shared/config/env.ts'
import { messageOf, OverpoolError, stackOf } from '../shared/errors.ts'
import { KINDS, type Kind } from '../shared/ledger/kinds.ts'
import type { Kinds } from '../shared/machine/pools.ts'
import { logged, printed } from '../shared/printed.ts'
import { backup, restoreBackup } from './backup.ts'
import { budget } from './budget.ts'
import { check } from './check.ts'
import * as commands from './commands.ts'
import { candidates, SCRIPTS, type Shell } from './completion.ts'
import { exportPool } from './export.ts'
import { importPool } from './import.ts'
import { init } from './init.ts'
import { invoice } from './invoices.ts'
import { receive, sweep } from './keys.ts'
import { withMachine } from './machine.ts'
import * as network from './network.ts'
import { outOf } from './out.ts'
import { postAny } from './post.ts'
import { pull } from './pull.ts'
import { rebuild } from './rebuild.ts'
import { replay } from './replay.ts'
import { showRuns } from './runs.ts'
import { run } from './start.ts'
import { state } from './state.ts'
import { studio } from './studio.ts'
import { top } from './top.ts'
import { VERSION } from './version.ts'

const FAILED = 1
const USAGE = 2
const KILLED = 130
/** npm passes on a Ctrl-C that this process gets as well: a second signal within this time counts as the same one, ms. */
const SAME_SIGNAL_MS = 500

const env = readEnv('local')
const interrupted = new AbortController()
let interruptedAt = 0

/** For commands that finish their work when they are interrupted; the others end at once. */
function untilInterrupted(): AbortSignal {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (interrupted.signal.aborted && performance.now() - interruptedAt > SAME_SIGNAL_MS) process.exit(KILLED)
      interruptedAt ||= performance.now()
      interrupted.abort()
    })
  }
  return interrupted.signal
}

// `overpool tail mypool -f | head -1` closes the pipe when it has read enough
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : FAILED))

const HELP = `
  overpool start                   runs overpool.config.ts; leave it running
  overpool post mypool --sample    posts a sample transaction
  overpool tail mypool -f          shows the entries as they come
  overpool pools                   shows how far each handler is, and what it gave up
  overpool check                   says what is wrong, if anything is
  overpool redrive mypool          retries the entries that a handler gave up

All but init, start, dht and restore work beside a running machine or without one, on its folder;
with --stack on a machine on AWS, with the credentials that the AWS SDK finds.
Exit codes: 0 all is well, 1 it failed or shows that something is wrong, 2 the command is used wrongly.`

const program = new Command('overpool')
  .description('An append-only ledger of Bitcoin transactions that fires your handler.')
  .version(VERSION)
  .option('-d, --dir <folder>', 'the machine’s folder (or OVERPOOL_DIR)', env.OVERPOOL_DIR ?? '.overpool')
  .addOption(new Option('--stack <name>', 'a machine on AWS instead, by the name of its stack').conflicts('dir'))
  .option('--region <name>', 'of the stack (or AWS_REGION)')
  .option('--json', 'print answers and errors as JSON, one value a line')
  .showHelpAfterError('(overpool --help shows what there is, overpool help <command> how it is used)')
  .configureHelp({ showGlobalOptions: true })
  .addHelpText('after', HELP)
  .exitOverride()
  .configureOutput({ writeErr: (text) => isJson() || process.stderr.write(printed(text)) })

program
  .command('init [folder]')
  .description('write the files of a new project: a config, a handler, a test, and the scripts of package.json')
  .option('--aws', 'and what deploys it to AWS: an app for the CDK')
  .addHelpText('after', '\nA file that is there already stays as it is.')
  .action((folder, flags) => init(folder ?? '.', flags, inFolder('it writes files into a folder of this host').out))

program
  .command('start')
  .description('run the machine of a config: takes payments, keeps the ledger, calls the handlers')
  .option('-c, --config <file>', 'the config file', 'overpool.config.ts')
  .addOption(
    new Option('-p, --port <number>', 'where wallets post to, 0 for any free port (or PORT)').argParser(port).default(undefined, '3000'),
  )
  .option('--host <address>', 'on which address, 0.0.0.0 for all (or HOST)', env.HOST ?? '127.0.0.1')
  .addOption(
    new Option(
      '--log <format>',
      'the format of the log: text, or json: one value a line, also for lines that handlers print and for the start and the stop',
    )
      .choices(['text', 'json'])
      .default('text'),
  )
  .addHelpText(
    'after',
    '\nSaving the config or a handler reloads it. Ctrl-C stops the machine after the handlers have finished their current entries.',
  )
  .action((flags) =>
    run(
      { ...flags, port: flags.port ?? portOf(env.PORT) },
      inFolder('the machine of a stack is started by `npx cdk deploy`'),
      untilInterrupted(),
    ),
  )

program
  .command('studio')
  .description('show the machine in a browser: entries as they come, what failed and why, invoices. Prints the address')
  .addOption(
    new Option('-p, --port <number>', 'serve it on this port, 0 for any free one').argParser(port).default(undefined, 'the machine’s own'),
  )
  .addHelpText(
    'after',
    `
A running machine serves the studio itself, and this command prints the address. For a stack, for a machine that does not run, or with --port, this command serves the
studio until Ctrl-C, only to programs on this computer. Keep the address to yourself: anyone who has it sees the whole machine and can post to it.

  overpool studio
  overpool --stack Overpool studio`,
  )
  .action((flags) => studio(flags, context(), untilInterrupted()))

program
  .command('post <pool> [transaction]')
  .description(
    'post a transaction, raw, in the extended format or in BEEF: hex, base64, a file that holds these or bytes, or - for standard input; or an entry of `pull`',
  )
  .option('--sample', 'a new sample transaction instead')
  .option('--data <texts...>', 'a new transaction instead that carries these texts, each as a push after OP_FALSE OP_RETURN')
  .option('--memo <text>', 'BIP270 memo')
  .option('--merchant-data <text>', 'BIP270 merchantData')
  .option('--refund-to <paymail>', 'BIP270 refundTo')
  .option('--id <name>', 'names the post: a second post with this name adds no entry')
  .option('--filter', 'ask the pool’s filter first, as it is in the config')
  .option('-c, --config <file>', 'the config file, for --filter', 'overpool.config.ts')
  .addHelpText(
    'after',
    `
The pool’s filter is not asked without --filter: whoever can write to the folder, or to the queue of a stack, may post anything.

  overpool post mypool --sample --memo 'a coffee'
  overpool post mypool --data app move e2e4
  overpool post mypool transaction.hex --id 'order 7'
  bitcoin-cli getrawtransaction $TXID | overpool post mypool -`,
  )
  .action((pool, transaction, flags) => postAny(pool, transaction, flags, context()))

program
  .command('invoice <pool>')
  .argument('[satoshis]', 'how much to ask for', satoshis)
  .description('ask somebody for money: makes an invoice, and prints the address of its page')
  .option('--memo <text>', 'what it is for')
  .option(
    '--address <address>',
    'where the money goes; default: a fresh address of the machine’s, or of the wallet that the config names (`receive`)',
  )
  .option('--expires <minutes>', 'until when it can be paid; default: no end', whole)
  .option('--id <name>', 'a name of yours: a second invoice with this name is not made')
  .option('--list', 'list the invoices of the pool instead')
  .option('--get <id>', 'show one, and what has become of it')
  .option('--cancel <id>', 'cancel one')
  .addHelpText(
    'after',
    `
  overpool invoice mypool 1500 --memo 'a coffee' --expires 15
  overpool invoice mypool --get kq3v9cDkXh0hXJm8vZ2nVg`,
  )
  .action((pool, amount, flags) => invoice(pool, amount, flags, context()))

program
  .command('broadcast <pool> <transaction...>')
  .description('hand transactions to the Bitcoin network: entries of the pool by their txids, hex, or files that hold hex')
  .option('--id <name>', 'names the request: a second one with this name is not made')
  .addHelpText(
    'after',
    `
They go in this order, so a transaction comes after those that it spends. The pool keeps the request and what becomes of each transaction. The machine needs
\`bitcoin\` in its config.

  overpool broadcast mypool 5a3e…                    an entry of the pool
  overpool broadcast mypool first.hex second.hex     transactions that are no entries`,
  )
  .action((pool, transactions, flags) => commands.broadcast(pool, transactions, flags, context()))

program
  .command('watch <pool>')
  .description('have transactions on the chain become entries of the pool, whoever broadcast them')
  .option('--address <address...>', 'those that pay to an address, or are paid from it')
  .option('--script <hex...>', 'those that pay to a locking script')
  .option('--outpoint <txid:vout...>', 'those that spend an output')
  .action((pool, flags) => commands.watch(pool, flags, context()))

program
  .command('state <handler> [key]')
  .description('show and change the state of a handler; also while the machine runs')
  .option('--pool <name>', 'the pool; not needed if the handler has worked on only one pool, or has one state for all its pools')
  .option('--prefix <text>', 'only keys that begin with this')
  .option('--at <seq>', 'the state after this entry, as far back as the journal reaches', whole)
  .option('--watch', 'show each change as it comes')
  .option('--set <json>', 'set the key')
  .option('--delete', 'delete the key')
  .option('--export', 'print all keys, one JSON value a line, for --import')
  .option('--import <file>', 'set the keys in a file that --export has printed, or - for standard input; other keys stay')
  .addHelpText(
    'after',
    `
Values that JSON lacks are written as {"$bytes": hex}, {"$bigint": "12"}, {"$number": "NaN"}.

  overpool state bank                         all keys with their values
  overpool state bank 'account 7' --at 1500   a value as it was after entry 1500
  overpool state bank 'account 7' --set 250`,
  )
  .action((handler, key, flags) => state(handler, key, flags, context(), untilInterrupted))

program
  .command('replay <pool>')
  .description('run a handler again on the entries of a pool, in this terminal; also while the machine runs')
  .requiredOption('--handler <name>', 'the handler: the name of its file without the ending')
  .option('--from <seq>', 'the first entry', whole, 0)
  .option('--to <seq>', 'the last entry that is run; default: the last one of the pool', whole)
  .option('--into <name>', 'run it under a new name, with a state of its own; posts are counted and not made')
  .option('--compare', 'with --into: show the keys in which the two states differ, and exit with 1 if there are any')
  .option('-c, --config <file>', 'the config file', 'overpool.config.ts')
  .addHelpText(
    'after',
    `
Without --into the handler’s posts keep their ids, so none is made twice, and its state stays as it is. Each entry is tried once. Ctrl-C stops the replay after
the current entry; with --into the same command continues it.

  overpool replay shop --handler bank --from 1200              again from entry 1200 on
  overpool replay shop --handler bank --into bank2 --compare   a mended handler on all of history`,
  )
  .action(async (pool, flags) => exitWith(await replay(pool, flags, context(), untilInterrupted())))

program
  .command('mcp')
  .description('let an AI agent use the machine by the Model Context Protocol, over standard input and output')
  .addOption(new Option('--http [port]', 'serve over HTTP instead, only on this computer, with a token that it prints').argParser(port))
  .option('--token <file>', 'with --http: a file that stores the token; it is created if it is missing')
  .option('--read-only', 'leave out the tools that post, make invoices, pay or broadcast')
  .option('--per-call <satoshis>', 'the most that one call may pay', satoshis)
  .option('--per-day <satoshis>', 'the most that may be paid in any 24 hours', satoshis)
  .option('--ask <satoshis>', 'ask the agent’s user about payments above the budget, up to this sum, if the client can ask', satoshis)
  .option('--budget <file>', 'the budget’s file; default: budget.sqlite in the machine’s folder')
  .option('--wallet <url>', 'the wallet that pays (BRC-100 over HTTP)', 'http://127.0.0.1:3321')
  .addOption(new Option('--network <name>', 'the chain on which payments are made').choices(['main', 'test', 'regtest']).default('main'))
  .option('--payee <host...>', 'only these hosts may be paid; default: every host with https')
  .addHelpText(
    'after',
    `
Nothing can be paid until both limits are set, here or by \`overpool budget\`. If both set a limit, the lower one counts.

  claude mcp add shop -- npx overpool --dir /srv/shop/.overpool mcp --read-only
  overpool mcp --http 3100 --token mcp-token --per-call 500 --per-day 5000`,
  )
  .action(async (flags) => {
    const { serveMcp } = await import('./mcp/start.ts') // the SDK takes a tenth of a second to load
    await serveMcp(flags, context(), untilInterrupted())
  })

program
  .command('budget')
  .description('show what agents may pay and have paid, and change the limits')
  .option('--per-call <satoshis>', 'the most that one call may pay', satoshis)
  .option('--per-day <satoshis>', 'the most that may be paid in any 24 hours', satoshis)
  .option('--release <payment>', 'release the amount of a payment that was certainly not made, so that it no longer counts as spent', whole)
  .option('--renew', 'start anew: what was paid until now no longer counts')
  .option('--file <file>', 'default: budget.sqlite in the machine’s folder')
  .action((flags) => budget(flags, context()))

const keys = program.command('keys').description('the keys of the machine that payments go to')
keys
  .command('sweep <pool>')
  .description('show what was paid into a pool by HTTP 402 and paymail, and how it is spent')
  .option('--to <address>', 'print a signed transaction that pays all of it to an address; it is not sent')
  .option('--root', 'show the private key that spends all of it, for a wallet')
  .action((pool, flags) => sweep(pool, flags, context()))

keys
  .command('receive')
  .description('show the machine’s own extended key, which invoices use when the config has no `receive`')
  .option('--private', 'the private one (xprv), which spends all of it')
  .addHelpText('after', '\nWith `receive` in the config the money comes to your own wallet, and nothing to these keys.')
  .action((flags) => receive(flags, inFolder('a machine on AWS has no key of its own for invoices: its config names the wallet')))

program
  .command('rebuild <pool>')
  .description('read a pool’s transactions from the chain alone. Exits with 1 if --verify finds that the pool says something else')
  .requiredOption('--from-chain', 'from the chain that the config names')
  .option('--verify', 'compare the two, instead of listing what the chain has')
  .option('--from <height>', 'the first block; default: the first that the pool calls mined', whole)
  .option('-c, --config <file>', 'the config file', 'overpool.config.ts')
  .action(async (pool, flags) => exitWith(await rebuild(pool, flags, context())))

program
  .command('tail <pool>')
  .description('show the newest entries')
  .option('-n, --number <entries>', 'how many', whole, 10)
  .option('-f, --follow', 'keep showing new entries')
  .option('--kinds <kinds>', "which kinds of entries: a list such as tx,status, or 'all'", kinds)
  .addHelpText(
    'after',
    '\nA line is: number, time, txid, source (with the steps since a loop began), memo. With --json it is the event that handlers get. Without --kinds it shows transactions.',
  )
  .action((pool, flags) => commands.tail(pool, flags, context(), untilInterrupted()))

program
  .command('get <pool> <txid>')
  .description('show the entry of a transaction')
  .action((pool, txid) => commands.get(pool, txid, context()))

program
  .command('pull <pool> <number>')
  .description('print an entry as JSON, with its id, cause and time, for `post -` on another machine')
  .addHelpText(
    'after',
    `
The entry is posted unchanged, into the pool of the same name or into the pool that \`post\` names. A second post of it adds nothing.

  overpool --stack Overpool pull mypool 1207 | overpool post -
  overpool --stack Overpool pull mypool 1207 | overpool post debugging -`,
  )
  .action((pool, number) => pull(pool, whole(number), context()))

program
  .command('pools')
  .description('list the pools, their handlers, and the entries that these gave up. Exits with 1 if something is wrong')
  .action(async () => exitWith(await commands.pools(context())))

program
  .command('top')
  .description(
    'show the machine live in the terminal: pools with rates, lags and errors; q quits. Prints once if the output is not a terminal',
  )
  .action(() => top(context(), untilInterrupted()))

program
  .command('check')
  .description('say what is wrong with the machine: doors, ledger, pools, handlers. Exits with 1 if something is')
  .action(async () => exitWith(await check(context())))

program
  .command('export <pool>')
  .description('write the transactions of a pool to standard output, those that were not archived')
  .option('--jsonl', 'as JSON, an entry a line: what `import` takes (default)')
  .addOption(new Option('--tape', 'as the tape.txt of the original: OVERPOOL, txid, time').conflicts(['csv', 'jsonl']))
  .addOption(new Option('--csv', 'as a table: number, time, txid, source, hops, satoshis, memo').conflicts(['jsonl']))
  .option('-f, --follow', 'go on with new entries')
  .action((pool, { tape, csv, follow }) =>
    exportPool(pool, { format: tape ? 'tape' : csv ? 'csv' : 'jsonl', follow }, context(), untilInterrupted()),
  )

program
  .command('import <pool> <from>')
  .description('add entries to a pool: a file of `export --jsonl`, - for standard input, or the folder of a pool of the original Overpool')
  .addHelpText(
    'after',
    `
Entries keep their ids and times: a second import adds none twice, and a wallet that sends an imported payment again makes no second entry. The handlers run on
them. A line of the file may also be a BIP270 Payment. The pool’s filter is not applied.

  overpool export mypool > mypool.jsonl
  overpool import mypool mypool.jsonl
  overpool import mypool overpool/mypool    tape.txt and the files of its payments`,
  )
  .action(async (pool, from) => {
    if (!(await importPool(pool, from, context()))) process.exitCode = FAILED
  })

program
  .command('prune <pool>')
  .description('archive the entries of a pool: `tail` begins after them, `get` still finds them')
  .action((pool) => commands.prune(pool, context()))

program
  .command('verify <pool>')
  .description('read a pool from end to end: do mirror, hypercore and receipts agree? Exits with 1 if not')
  .action(async (pool) => exitWith(await commands.verify(pool, context())))

program
  .command('resume <pool>')
  .description('restart a halted pool: its hypercore is rebuilt from the mirror')
  .addHelpText(
    'after',
    `
A pool is halted when its hypercore and the mirror do not agree; \`overpool pools\` says why. Find out first which of the two was changed. Peers who hold
blocks that are not in the mirror as it is now follow the pool no more.`,
  )
  .action((pool) => commands.resumePool(pool, context()))

program
  .command('repair <pool>')
  .description('take damaged blocks of a pool from its hypercore, or from a peer')
  .addHelpText(
    'after',
    `
A block whose checksum is wrong halts its pool; \`overpool pools\` says so. A running machine repairs it: from its own hypercore, or, if the pool is published
or subscribed to, from a machine that has it, which must be online. Entries that nobody has become dead letters of the handlers. A later repair, and then
\`overpool redrive\`, handles them if they are found after all.`,
  )
  .action((pool) => commands.repairPool(pool, context()))

program
  .command('redrive <pool>')
  .description('have handlers retry the entries that they gave up, and go on where they stopped')
  .option('--handler <name>', 'only this handler')
  .addOption(new Option('--skip', 'skip the entry at which a handler stopped').conflicts('drop'))
  .option('--drop', 'forget the entries that the handlers gave up: they are not tried again')
  .option('--error <text>', 'only the entries whose error contains this text')
  .option('--from <number>', 'only the entries from this one on', whole)
  .option('--to <number>', 'only the entries up to this one', whole)
  .addHelpText(
    'after',
    `
A handler gives an entry up after the pool’s \`maxAttempts\`. \`overpool pools\` lists these entries with the errors. Fix the handler, then:

  overpool redrive mypool          retries all of them; a handler that stopped (onPoison: 'stop') goes on
  overpool redrive mypool --skip   a handler that stopped goes on without the entry where it stopped
  overpool redrive mypool --drop   retries nothing and empties the list; the entries stay in the ledger
  overpool redrive mypool --error 'no such table' --from 100 --to 200    retries only these; a handler that stopped stays stopped`,
  )
  .action((pool, flags) => commands.redrivePool(pool, flags, context()))

program
  .command('pause <pool>')
  .description('pause a handler in a pool, also over restarts: its entries wait until `unpause`')
  .requiredOption('--handler <name>', 'which handler')
  .option('--reason <text>', 'why; `pools`, `status`, `check` and `top` show it')
  .action((pool, flags) => commands.pauseHandler(pool, flags, context()))

program
  .command('unpause <pool>')
  .description('let a paused handler go on at its next entry')
  .requiredOption('--handler <name>', 'which handler')
  .action((pool, flags) => commands.unpauseHandler(pool, flags, context()))

program
  .command('runs <pool>')
  .description('show the newest runs of the handlers on a pool’s entries: how long each took, what it printed, its error')
  .option('--handler <name>', 'only this handler')
  .option('--seq <number>', 'only the runs on this entry', whole)
  .option('-n, --number <runs>', 'how many', whole, 20)
  .option('-f, --follow', 'keep showing new runs')
  .addHelpText(
    'after',
    `
A line is: number of the entry, when the run began, handler, kind of the entry, duration, outcome. Lines with | are what it printed with \`console\`, lines with ! are
its error. The machine keeps the newest 100,000 runs that succeeded and the newest 100,000 that failed; a stack keeps runs in its logs for a month. A run is shown
within a second, on AWS after some seconds.

  overpool runs mypool -f
  overpool runs mypool --handler main --seq 7`,
  )
  .action((pool, flags) => showRuns(pool, flags, context(), untilInterrupted()))

program
  .command('backup <file>')
  .description('copy the ledger, at one moment, into a new file; also while the machine runs')
  .option('--no-seed', 'leave out the seed, which is kept elsewhere: a backup is restored only with it')
  .addHelpText(
    'after',
    `
Keep the file secret: it holds all payments and, unless --no-seed, the seed, whose holder can sign as your pools.

  overpool backup backups/$(date +%F).sqlite
  overpool restore backups/2026-11-27.sqlite`,
  )
  .action((file, flags) => backup(file, flags, inFolder('its table has point-in-time recovery, see docs/deploy.md')))

program
  .command('restore <file>')
  .description('put a backup in the place of the ledger, while no machine runs')
  .addHelpText(
    'after',
    `
Entries that are newer than the backup are taken from the hypercores in the folder, if they are there. Handlers get the entries again that came after the backup.
The ledger that was in the folder is kept beside the new one.`,
  )
  .action((file) => restoreBackup(file, inFolder('its table has point-in-time recovery, see docs/deploy.md')))

program
  .command('completion')
  .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
  .description('print a script by which a shell completes commands, options and the names of pools')
  .addHelpText(
    'after',
    `
  bash:  echo 'source <(overpool completion bash)' >> ~/.bashrc
  zsh:   echo 'source <(overpool completion zsh)' >> ~/.zshrc    (after compinit)
  fish:  overpool completion fish > ~/.config/fish/completions/overpool.fish`,
  )
  .action((shell: Shell) => console.log(SCRIPTS[shell]))

program
  .command('complete [words...]', { hidden: true }) // the scripts of `completion` run this at each Tab
  .action(async (words: string[]) => {
    program.parseOptions(words) // --dir and --stack of the line that is being typed
    const pools = () =>
      withMachine(context().where, async (machine) => (await machine.pools.list()).map(({ path }) => path)).catch(() => [])
    console.log((await candidates(program, words, pools)).join('\n'))
  })

program.commandsGroup('The network:')

program
  .command('pub <pool>')
  .description('publish a pool to the network; prints the command with which others subscribe')
  .option('--encrypt', 'encrypt it: the public key alone does not open it. Only for a pool that has not been published in clear')
  .option('--allow <machine...>', 'only for these machines: the public keys that `overpool id` prints there')
  .action((pool, flags) => network.pub(pool, flags, context()))

program
  .command('unpub <pool>')
  .description('stop publishing a pool')
  .action((pool) => network.unpub(pool, context()))

program
  .command('sub <key>')
  .description('subscribe to a peer’s pool: the handlers run on its entries')
  .option('--from <where>', 'the first entry: start, now, or a sequence number', from)
  .option('--peer <machine>', 'connect to this machine directly: the public key that `overpool id` prints there')
  .action((key, flags) => network.sub(key, flags, context()))

program
  .command('unsub <key>')
  .description('unsubscribe from a peer’s pool')
  .action((key) => network.unsub(key, context()))

program
  .command('status')
  .description('show pools, peers, and the progress of subscriptions. Exits with 1 if something is wrong')
  .option('-w, --watch', 'keep showing it')
  .action(async (flags) => exitWith((await network.status(flags, context(), untilInterrupted())) || flags.watch))

program
  .command('trail <pool> <txid>')
  .description('show what an entry was posted for, step by step, back to where the loop began')
  .action((pool, txid) => network.trail(pool, txid, context()))

program
  .command('id')
  .description('print the public key by which other machines know this one')
  .action(() => network.id(context()))

program
  .command('dht')
  .description('run a DHT node for a network of one’s own')
  .option('-p, --port <number>', 'UDP port', udpPort, 49737)
  .option('--host <address>', 'IPv4 address of this host under which the others reach it', address, '127.0.0.1')
  .option('--bootstrap <node...>', 'host:port of other nodes of this network', nodes)
  .action((flags) => network.dht(flags, inFolder('it runs on this host, and belongs to no machine'), untilInterrupted()))

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = exitCode(error)
}
// A connection that is left open must not keep us, but a slow reader gets all that was printed.
if (process.exitCode || interrupted.signal.aborted) process.stdout.write('', () => process.exit())

/** @param isWell false: the command has shown that something is wrong */
function exitWith(isWell: boolean): void {
  if (!isWell) process.exitCode = FAILED
}

/** Says what went wrong, for people or as JSON. */
function exitCode(thrown: unknown): number {
  const error = explained(thrown, resolve(program.opts().dir ?? ''))
  const usage = error instanceof CommanderError
  if (usage && error.exitCode === 0) return 0
  if (isJson()) process.stderr.write(`${printed(JSON.stringify(errorAsJson(error)))}\n`)
  else if (error instanceof OverpoolError) process.stderr.write(`${logged(error.message)}\n`)
  else if (!usage) process.stderr.write(`${logged(stackOf(error))}\n`) // commander has said so itself
  return usage || (error instanceof OverpoolError && error.code === 'BAD_ARGUMENT') ? USAGE : FAILED
}

function errorAsJson(error: unknown): object {
  if (error instanceof OverpoolError) return { error: error.code, message: error.message, retryable: error.retryable }
  if (error instanceof CommanderError)
    return {
      error: 'BAD_ARGUMENT',
      message:
        error.code === 'commander.help' ? 'name a command; overpool --help shows which there are' : error.message.replace(/^error: /, ''),
      retryable: false,
    }
  return { error: 'INTERNAL', message: messageOf(error), retryable: false }
}

/** Whether --json is given; the command line may be too wrong to be parsed. */
function isJson(): boolean {
  return program.opts().json ?? process.argv.includes('--json')
}

function context(): commands.CommandContext {
  const { dir, stack, region, json } = program.opts<{ dir: string; stack?: string; region?: string; json?: boolean }>()
  if (region !== undefined && stack === undefined)
    throw new OverpoolError('BAD_ARGUMENT', '--region is that of a stack: name it with --stack')
  if (stack === '') throw new OverpoolError('BAD_ARGUMENT', '--stack is the name of a stack, such as Overpool')
  return { where: stack === undefined ? { dir: resolve(dir) } : { stack, region }, out: outOf(json ?? false) }
}

/** For commands that work on this host only. @param why the reason why they do not work on a stack */
function inFolder(why: string): commands.CommandContext<{ dir: string }> {
  const { where, out } = context()
  if (where.stack === undefined) return { where, out }
  throw new OverpoolError('BAD_ARGUMENT', `this command does not go with --stack: ${why}`)
}

function port(text: string): number {
  const number = Number(text)
  if (/^\d{1,5}$/.test(text) && number <= 65_535) return number
  throw new InvalidArgumentError('a port is a number from 0 to 65535')
}

function portOf(variable = '3000'): number {
  try {
    return port(variable)
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', `PORT=${variable} is no port: that is a number from 0 to 65535, 0 for any free one`, { cause })
  }
}

function udpPort(text: string): number {
  const number = port(text)
  if (number) return number
  throw new InvalidArgumentError('other nodes start from this port, so it must be fixed: from 1 to 65535')
}

function address(text: string): string {
  if (isIPv4(text) && text !== '0.0.0.0') return text
  throw new InvalidArgumentError('an IPv4 address is wanted, such as 192.168.1.7')
}

function nodes(text: string, before: string[] = []): string[] {
  if (/^[^\s:]+:\d{1,5}$/.test(text)) return [...before, text]
  throw new InvalidArgumentError('nodes are named host:port, such as 192.168.1.7:49737')
}

function from(text: string): 'start' | 'now' | number {
  return text === 'start' || text === 'now' ? text : whole(text)
}

function kinds(text: string): Kinds {
  const names = text.split(',')
  if (text === 'all') return text
  if (names.every((name) => (KINDS as readonly string[]).includes(name))) return names as Kind[]
  throw new InvalidArgumentError(`kinds are 'all', or some of ${KINDS.join(', ')}`)
}

function satoshis(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('satoshis are a whole number')
}

function whole(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a whole number is wanted')
}
