import { setTimeout as wait } from 'node:timers/promises'
import { reasonOf } from '../../shared/errors.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { cdkLocal } from './deploy.ts'
import { Deployed } from './deployed.ts'
import { type Emulator, startEmulator } from './emulators.ts'

// `npm run try:ministack`: runs overpool.config.ts on an emulator until Ctrl-C. Arguments after `--` go to the CDK: `-c config=other.config.ts`.

/** How often it reads the logs of the handlers, ms. */
const LOOK_MS = 500
/** Log lines of the runtime, of Node and of the metrics. */
const NOT_THE_HANDLERS = /^(START|END|REPORT|INIT_START) |^\((node:|Use `node)|^\{"_aws"|^$/

let deploying: Promise<void> = Promise.resolve()
const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort())

let emulator: Emulator | undefined
try {
  emulator = await step('Starting MiniStack', () => startEmulator('ministack'))
  Object.assign(process.env, emulator.env)
  await step('Preparing it for the CDK', () => cdkLocal(process.env, 'bootstrap', '--app', 'node cdk/app.ts'))
  await using deployed = new Deployed(process.argv.slice(2))
  await step('Deploying your config, which takes the longest', () => deployed.deploy())
  console.log(`\n${welcome(deployed, emulator)}`)
  process.stdin.on('data', () => again(deployed))
  await follow(deployed)
} catch (error) {
  // the CDK has printed its own errors
  if (!stopped.signal.aborted) console.error(`not deployed: ${reasonOf(error)}`)
  process.exitCode = 1
} finally {
  await emulator?.stop()
}
process.exit()

/** Says what is being done, and how long it took: a step may be silent for half a minute. */
async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  console.log(`${what} …`)
  const done = await work()
  console.log(`  done in ${((performance.now() - began) / 1000).toFixed(0)} s`)
  return done
}

function welcome({ name, outputs }: Deployed, emulator: Emulator): string {
  const { hostname } = new URL(outputs.Endpoint!)
  const urls = Object.entries(outputs).flatMap(([key, url]) => (key.startsWith('Pool') ? [url] : []))
  const path = urls[0] && new URL(urls[0]).pathname
  const { AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = emulator.env
  const transaction = sampleTransaction(`hello, it is ${new Date().toISOString().slice(0, 19)}`)
  return `The stack ${name} is deployed on MiniStack. On AWS it would take payments at:

${urls.map((url) => `  ${url}`).join('\n')}

The emulator takes them at its own address, under that name:

  curl ${AWS_ENDPOINT_URL}${path} -H 'Host: ${hostname}' -H 'Content-Type: application/json' -d '{"transaction":"${transaction}"}'

In another terminal the command line reaches it:

  export AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL} AWS_REGION=${AWS_REGION} AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY}
  npx overpool --stack ${name} tail ${path?.slice(1)}

Enter deploys again what you have changed. Ctrl-C ends it, and nothing is kept.`
}

/** Deploys changed files. The CDK prints what is wrong with a config. */
function again(deployed: Deployed): void {
  deploying = deploying
    .then(() => step('Deploying again', () => deployed.deploy()))
    .then(
      () => {},
      (error) => console.error(`not deployed: ${reasonOf(error)}`),
    )
}

/** Prints what the handlers log. */
async function follow(deployed: Deployed): Promise<void> {
  const began = Date.now()
  const seen = new Set<string>()
  while (!stopped.signal.aborted) {
    for (const [id, line] of await deployed.handlerLines(began).catch(() => new Map<string, string>())) {
      if (!seen.has(id) && !NOT_THE_HANDLERS.test(line)) console.log(line)
      seen.add(id)
    }
    await wait(LOOK_MS, undefined, { signal: stopped.signal }).catch(() => {})
  }
  await deploying
}
