import { useState } from 'preact/hooks'
import type { Said, StateValue } from '../../shapes.ts'
import { get, post } from '../api.ts'
import { Deed, Empty, Problem, Section, say, Text, useAsked } from '../ui.tsx'

interface EditorProps {
  handler: string
  path: string
  /** the key */
  at: string
  changed: () => void
  close: () => void
}

/** One value as JSON, which can be edited and deleted. What the handler changes meanwhile is not written over. */
export function StateEditor({ handler, path, at, changed, close }: EditorProps) {
  const { value, error, again } = useAsked((signal) => get<StateValue>('value', { handler, pool: path, key: at }, signal), at)
  return (
    <Section
      title="Value"
      action={
        <button type="button" onClick={close}>
          Close
        </button>
      }
    >
      <Problem error={error} />
      {value ? (
        <Editor
          key={value.json}
          was={value.json}
          at={at}
          sends={async (name, json) => {
            const { says } = await post<Said>(name, { handler, pool: path, key: at, json, was: value.json ?? '' })
            again()
            changed()
            return says
          }}
          again={again}
        />
      ) : (
        error === undefined && <Empty>Loading …</Empty>
      )}
    </Section>
  )
}

interface FormProps {
  at: string
  was: string | undefined
  sends: (name: 'set' | 'unset', json?: string) => Promise<string>
  again: () => void
}

function Editor({ at, was = '', sends, again }: FormProps) {
  const [text, setText] = useState(was)
  const [error, setError] = useState<unknown>()
  const save = async (event: Event) => {
    event.preventDefault()
    try {
      say(await sends('set', text))
      setError(undefined)
    } catch (failure) {
      setError(failure)
    }
  }
  return (
    <form class="form" onSubmit={save}>
      <label>
        Value of <Text>{at}</Text>, as JSON
        <textarea
          required
          class="mono"
          rows={Math.min(16, text.split('\n').length + 1)}
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      {was === '' && <p class="soft">The key is not there: it was deleted, or never set.</p>}
      <Problem error={error} />
      <span class="tools">
        <button type="submit" class="main" disabled={text === was}>
          Save
        </button>
        <button type="button" onClick={again}>
          Open again
        </button>
        {was !== '' && (
          <Deed sure="Delete it for good?" does={() => sends('unset')}>
            Delete
          </Deed>
        )}
      </span>
    </form>
  )
}
