// Runs an example: `npm run example -- wire-transfer`. Without a name it is multiplayer. The script in package.json begins with "! trap : INT ||" so that the shell
// outlives a Ctrl-C, and npm waits until the machines have stopped. The shell of Windows does not know that command, and goes on as well.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { OverpoolError } from '../index.ts'
import { Lacking } from '../test/bitcoin/node.ts'
import { Stage } from './stage.ts'

const YOUR_OWN = 'To use a node of your own, set BITCOIN_RPC_URL=http://user:password@127.0.0.1:18443'

const [name = 'multiplayer'] = process.argv.slice(2)
const storyOf = (name: string) => new URL(`${name}/story.ts`, import.meta.url)

if (/^[a-z-]+$/.test(name) && existsSync(storyOf(name))) await play(name)
else {
  const names = globSync('*/README.md', { cwd: import.meta.dirname })
    .map(dirname)
    .sort()
  const title = (name: string) => /^# (.+)$/m.exec(readFileSync(new URL(`${name}/README.md`, import.meta.url), 'utf8'))?.[1]
  const commands = names.map((name) => `  npm run example -- ${name.padEnd(32)} ${title(name)}`)
  console.error(`There is no example "${name}". There are:\n\n${commands.join('\n')}`)
  process.exitCode = 2
}

async function play(name: string): Promise<void> {
  const { default: story } = (await import(storyOf(name).href)) as { default: (stage: Stage) => Promise<void> }
  const stage = new Stage(name)
  const stopped = Promise.withResolvers<void>()
  // npm passes a Ctrl-C on that has reached us already, so a second one must not end us before the machines.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stopped.resolve()
      stage.hurry()
    })
  }
  try {
    await Promise.race([story(stage), stopped.promise])
  } catch (error) {
    if (error instanceof Lacking) console.error(`This example needs a Bitcoin node on regtest, and ${error.message}. ${YOUR_OWN}`)
    else if (error instanceof OverpoolError) console.error(error.message)
    else throw error
    process.exitCode = 1
  } finally {
    await stage.close()
  }
  process.exit()
}
