import { useState } from 'preact/hooks'
import type { InvoiceRow } from '../../shapes.ts'
import { get, post } from '../api.ts'
import { number } from '../format.ts'
import { useLive } from '../live.ts'
import { linkTo } from '../router.ts'
import { Chip, Deed, Empty, Hash, Problem, Section, say, Text, useAsked, useSlowed, When } from '../ui.tsx'
import type { View } from './view.ts'

export const invoices: View = { name: 'invoices', title: 'Invoices', isInMenu: true, Page: InvoicesPage }

function InvoicesPage() {
  const pools = useLive().overview!.pools.filter(({ kind }) => kind === 'own')
  const [chosen, setPool] = useState<string>()
  const pool = chosen ?? pools[0]?.path
  const entries = useSlowed(pools.find(({ path }) => path === pool)?.entries)
  const { value, error, again } = useAsked(
    async (signal) => (pool === undefined ? [] : (await get<{ invoices: InvoiceRow[] }>('invoices', { pool }, signal)).invoices),
    `${pool} ${entries}`,
  )
  if (pool === undefined)
    return (
      <div class="page">
        <h1>Invoices</h1>
        <Empty>This machine has no pool of its own that could be paid into.</Empty>
      </div>
    )
  const rows = value?.toSorted((one, other) => other.createdAt - one.createdAt) ?? []
  return (
    <div class="page">
      <h1>Invoices</h1>
      <NewInvoice pools={pools.map(({ path }) => path)} pool={pool} choose={setPool} made={again} />
      <Problem error={error} />
      <Section title={`Invoices of ${pool}`}>
        {value && !rows.length && <Empty>There are none yet.</Empty>}
        {rows.length > 0 && (
          <table class="stacked">
            <thead>
              <tr>
                <th scope="col">Made</th>
                <th scope="col">State</th>
                <th scope="col" class="right">
                  Due
                </th>
                <th scope="col" class="right">
                  Received
                </th>
                <th scope="col">Memo</th>
                <th scope="col">Payment</th>
                <th scope="col">
                  <span class="unseen">What you can do</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((invoice) => (
                <Invoice key={invoice.id} pool={pool} invoice={invoice} changed={again} />
              ))}
            </tbody>
          </table>
        )}
        {rows.length >= 100 && (
          <Empty>
            The first 100 by their ids are shown; <code>overpool invoice --list</code> shows all.
          </Empty>
        )}
      </Section>
    </div>
  )
}

function Invoice({ pool, invoice, changed }: { pool: string; invoice: InvoiceRow; changed: () => void }) {
  const { id, url, state, due, received, memo, createdAt, payment } = invoice
  const isOpen = state === 'open' || state === 'underpaid'
  return (
    <tr>
      <th scope="row" class="number">
        <When at={createdAt} />
      </th>
      <td>
        <Chip>{state}</Chip>
      </td>
      <td class="right number" data-name="due">
        {number(due)}
      </td>
      <td class="right number" data-name="received">
        {number(received)}
      </td>
      <td class="wide">{memo !== undefined && <Text>{memo}</Text>}</td>
      <td>{payment && <Hash to={linkTo('find', payment.txid)}>{payment.txid}</Hash>}</td>
      <td class="tools">
        {/^https?:\/\//.test(url) && (
          <a class="button" href={url} target="_blank" rel="noopener noreferrer">
            Open its page
          </a>
        )}
        {isOpen && (
          <Deed
            sure="Cancel it?"
            does={async () => {
              await post('invoices/cancel', { pool, id })
              changed()
              return 'the invoice is cancelled'
            }}
          >
            Cancel
          </Deed>
        )}
      </td>
    </tr>
  )
}

function NewInvoice({ pools, pool, choose, made }: { pools: string[]; pool: string; choose: (path: string) => void; made: () => void }) {
  const [fields, setFields] = useState({ amount: '', memo: '', minutes: '' })
  const [error, setError] = useState<unknown>()
  const set = (name: keyof typeof fields) => (event: { currentTarget: HTMLInputElement }) =>
    setFields({ ...fields, [name]: event.currentTarget.value })
  const make = async (event: Event) => {
    event.preventDefault()
    const { amount, memo, minutes } = fields
    try {
      await post('invoices', { pool, amount: Number(amount), memo, ...(minutes && { minutes: Number(minutes) }) })
      setError(undefined)
      setFields({ amount: '', memo: '', minutes: '' })
      say('the invoice is made')
      made()
    } catch (failure) {
      setError(failure)
    }
  }
  return (
    <form class="form across" onSubmit={make}>
      <label>
        Pool
        <select value={pool} onChange={(event) => choose(event.currentTarget.value)}>
          {pools.map((path) => (
            <option key={path}>{path}</option>
          ))}
        </select>
      </label>
      <label>
        Satoshis
        <input type="number" required min="1" inputMode="numeric" value={fields.amount} onInput={set('amount')} />
      </label>
      <label class="grow">
        Memo
        <input type="text" value={fields.memo} onInput={set('memo')} />
      </label>
      <label>
        Expires in minutes
        <input type="number" min="1" inputMode="numeric" placeholder="never" value={fields.minutes} onInput={set('minutes')} />
      </label>
      <button type="submit" class="main">
        Make an invoice
      </button>
      <Problem error={error} />
    </form>
  )
}
