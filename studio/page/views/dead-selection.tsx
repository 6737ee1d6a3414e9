import { useState } from 'preact/hooks'
import { say } from '../ui.tsx'

/** Which entries to redrive, as the routes take it. */
export interface Selected {
  error?: string
  from?: number
  to?: number
}

/** Redrives only some of what a handler gave up. @param name of the handler and pool, for who cannot see where this stands */
export function RedriveSome({ name, does }: { name: string; does: (selected: Selected) => Promise<string> }) {
  const [error, setError] = useState('')
  const [from, setFrom] = useState('')
  const [to, setTo] = useState('')
  const [isBusy, setBusy] = useState(false)
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    const selected = { ...(error && { error }), ...(from && { from: Number(from) }), ...(to && { to: Number(to) }) }
    await does(selected).then(say, (failure) => say(failure instanceof Error ? failure.message : String(failure), 'bad'))
    setBusy(false)
  }
  return (
    <form class="form across" aria-label={`Redrive some of ${name}`} onSubmit={submit}>
      <label class="grow">
        Error contains
        <input type="text" value={error} onInput={(event) => setError(event.currentTarget.value)} />
      </label>
      <label>
        From entry
        <input type="number" min={0} value={from} onInput={(event) => setFrom(event.currentTarget.value)} />
      </label>
      <label>
        To entry
        <input type="number" min={0} value={to} onInput={(event) => setTo(event.currentTarget.value)} />
      </label>
      <button type="submit" disabled={isBusy || !(error || from || to)}>
        Redrive these
      </button>
    </form>
  )
}
