import { useState } from 'preact/hooks'
import type { Said } from '../../shapes.ts'
import { post as send } from '../api.ts'
import { useLive } from '../live.ts'
import { linkTo } from '../router.ts'
import { Empty, Hash, Problem, Text } from '../ui.tsx'
import type { View } from './view.ts'

export const post: View = { name: 'post', title: 'Post', isInMenu: true, Page: PostPage }

const WHAT = { sample: 'A sample', data: 'A text', transaction: 'A transaction' } as const

function PostPage() {
  const pools = useLive().overview!.pools.filter(({ kind }) => kind === 'own')
  const [chosen, setPool] = useState<string>()
  const [what, setWhat] = useState<keyof typeof WHAT>('sample')
  const [text, setText] = useState('')
  const [memo, setMemo] = useState('')
  const [done, setDone] = useState<Said & { hash: string }>()
  const [error, setError] = useState<unknown>()
  const [isBusy, setBusy] = useState(false)
  const pool = chosen ?? pools[0]?.path
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    try {
      setDone(await send('post', { pool, memo, ...(what === 'sample' ? { sample: true } : { [what]: text }) }))
      setError(undefined)
    } catch (failure) {
      setDone(undefined)
      setError(failure)
    }
    setBusy(false)
  }
  if (pool === undefined)
    return (
      <div class="page">
        <h1>Post</h1>
        <Empty>This machine has no pool of its own to post into.</Empty>
      </div>
    )
  return (
    <div class="page narrow">
      <h1>Post</h1>
      <p class="soft">What you post is an entry of the pool, and its handlers run on it.</p>
      <form class="form" onSubmit={submit}>
        <label>
          Pool
          <select value={pool} onChange={(event) => setPool(event.currentTarget.value)}>
            {pools.map(({ path }) => (
              <option key={path}>{path}</option>
            ))}
          </select>
        </label>
        <fieldset>
          <legend>What</legend>
          {Object.entries(WHAT).map(([name, title]) => (
            <label key={name} class="choice">
              <input type="radio" name="what" checked={what === name} onChange={() => setWhat(name as keyof typeof WHAT)} />
              {title}
            </label>
          ))}
        </fieldset>
        {what === 'data' && (
          <label>
            Text, which a new transaction carries after OP_FALSE OP_RETURN
            <textarea required rows={3} value={text} onInput={(event) => setText(event.currentTarget.value)} />
          </label>
        )}
        {what === 'transaction' && (
          <label>
            Hex or base64: raw, extended format or BEEF
            <textarea
              required
              rows={6}
              class="mono"
              spellcheck={false}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </label>
        )}
        <label>
          Memo
          <input type="text" placeholder="none" value={memo} onInput={(event) => setMemo(event.currentTarget.value)} />
        </label>
        <button type="submit" class="main" disabled={isBusy}>
          Post it
        </button>
        <Problem error={error} />
        {done && (
          <p class="done" role="status">
            <Text>{done.says}</Text>: <Hash to={linkTo('find', done.hash)}>{done.hash}</Hash>
          </p>
        )}
      </form>
    </div>
  )
}
