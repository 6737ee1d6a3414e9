import { useEffect, useRef, useState } from 'preact/hooks'
import type { HandlerRow, Said } from '../../shapes.ts'
import { post } from '../api.ts'
import { Chip, Deed, say, Text } from '../ui.tsx'

/** Whether a handler is paused, and why, with what pauses it and has it go on. */
export function HandlerPause({ path, handler: { handler, paused } }: { path: string; handler: HandlerRow }) {
  const [isOpen, setOpen] = useState(false)
  const [reason, setReason] = useState('')
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [isOpen])
  const pause = async (event: Event) => {
    event.preventDefault()
    try {
      say((await post<Said>('pause', { pool: path, handler, reason })).says)
      setOpen(false)
      setReason('')
    } catch (failure) {
      say(failure instanceof Error ? failure.message : String(failure), 'bad')
    }
  }
  if (paused !== undefined)
    return (
      <>
        <Chip tone="warn">paused</Chip>
        <span class="soft">
          <Text>{paused}</Text>
        </span>
        <Deed does={async () => (await post<Said>('unpause', { pool: path, handler })).says}>Unpause</Deed>
      </>
    )
  if (!isOpen)
    return (
      <button type="button" aria-label={`Pause ${handler} in ${path}`} onClick={() => setOpen(true)}>
        Pause
      </button>
    )
  return (
    <form class="tools" onSubmit={pause}>
      <input
        required
        type="text"
        class="reason"
        maxLength={1_000}
        aria-label={`Why ${handler} is paused in ${path}`}
        placeholder="why"
        value={reason}
        ref={field}
        onInput={(event) => setReason(event.currentTarget.value)}
      />
      <button type="submit">Pause it</button>
      <button type="button" onClick={() => setOpen(false)}>
        Not now
      </button>
    </form>
  )
}
