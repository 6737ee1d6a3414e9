import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { KeptBudget } from '../../client/kept-budget.ts'
import { Overpool } from '../../index.ts'
import { folderLayout } from '../../local/folder.ts'
import { nodeOr } from '../bitcoin/node-or-skip.ts'
import { Project, REPOSITORY } from '../cli/project.ts'
import { lasting, shownBy } from './shown.ts'

const node = nodeOr({ any: true })

it('two agents without a model agree on a price, and settle on the chain, as the README shows', { timeout: 180_000 }, async () => {
  await using project = new Project()
  const ledgers = join(project.dir, 'ledgers')
  mkdirSync(ledgers)
  const { url, user, password } = node()
  const env = { OVERPOOL_DIR: ledgers, BITCOIN_RPC_URL: url.replace('://', `://${user}:${password}@`) }
  const program = project.run('npm', ['run', '--silent', 'example', '--', 'agents'], { cwd: REPOSITORY, env })
  expect(await program.ended(), program.out + program.err).toBe(0)
  expect(program.err).toBe('')
  expect(lasting(program.out)).toEqual(lasting(shownBy('agents', 'npm run example -- agents')))

  const machines = Object.fromEntries(
    ['seller', 'buyer'].map((name) => [name, new Overpool({ dir: join(ledgers, name), url: 'http://127.0.0.1' })]),
  )
  const { seller, buyer } = machines as { seller: Overpool; buyer: Overpool }
  try {
    const [invoice, ...more] = await seller.invoice.list({ path: 'till' })
    expect(more).toEqual([])
    expect(invoice).toMatchObject({ state: 'paid', due: 1050, received: 1050, payment: { status: 'mined' } })
    const { txid } = invoice!.payment!
    expect(await node().rpc('getrawtransaction', txid, true)).toMatchObject({ blockhash: expect.stringMatching(/^[\da-f]{64}$/) })
    const { key } = (await buyer.status()).find(({ subscribed }) => subscribed)!
    const said = await Array.fromAsync(buyer.read({ path: key }), ({ data }) => data.map(({ text }) => text))
    expect(said.map(([, word]) => word)).toEqual(['ask', 'ask', 'ask', 'ask', 'invoice', 'report'])
    expect(
      await Array.fromAsync(seller.read({ path: 'seller' }), ({ data }) => data.map(({ text }) => text)),
      'both have the same',
    ).toEqual(said)
    using budget = new KeptBudget(folderLayout(join(ledgers, 'buyer')).budget)
    expect(budget.list(9)).toMatchObject([{ satoshis: 1050, txid, state: 'answered' }])
  } finally {
    await Promise.all([seller.close(), buyer.close()])
  }
})
