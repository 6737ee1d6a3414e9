import type { EntryShape } from '../../shapes.ts'
import { useLive } from '../live.ts'
import { Copy, Empty } from '../ui.tsx'
import type { EntryPart } from './view.ts'

export const againPart: EntryPart = { name: 'again', title: 'Run again', Part: RunAgain }

/** The longest name of a handler. */
const MAX_NAME = 63

/** The commands that run handlers again from this entry on. A replay loads the handler's file as it is now: it runs in a terminal. */
function RunAgain({ entry: { path, seq } }: { entry: EntryShape }) {
  const { pools } = useLive().overview!
  const handlers = pools.find((pool) => pool.path === path)?.handlers ?? []
  if (!handlers.length) return <Empty>No handler has worked on this pool.</Empty>
  return (
    <>
      <p>
        Run again from here: copy a command into a terminal, in the folder of overpool.config.ts. The handler runs as its file is now, with
        a state of its own under a new name; its posts are counted, and not made.
      </p>
      <ul class="letters">
        {handlers.map(({ handler }) => {
          const command = `overpool replay ${quoted(path)} --handler ${quoted(handler)} --from ${seq} --into ${quoted(besideOf(handler))}`
          return (
            <li key={handler}>
              <p class="put">
                <code class="command">{command}</code>
                <Copy what={`command for ${handler}`}>{command}</Copy>
              </p>
            </li>
          )
        })}
      </ul>
    </>
  )
}

/** A name beside the handler's. */
function besideOf(handler: string): string {
  const end = '-again'
  const name = handler.toLowerCase().replace(/[^a-z0-9_-]/g, '-')
  return `${name.slice(0, MAX_NAME - end.length).replace(/^[-_]+/, '') || 'handler'}${end}`
}

/** A word as a shell reads it whole. */
function quoted(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}
