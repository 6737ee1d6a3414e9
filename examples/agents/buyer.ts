// Buys a weather report: bids 600 satoshis, goes up by 150 each time, and not above 1200. It pays what was agreed on, within the budget that its operator has set.

import { Agent, amountIn } from './agent.ts'

const { OVERPOOL_DIR = '.overpool', SELLER = '', PAYEE = '', WALLET = '' } = process.env
const FIRST_BID = 600
const STEP = 150
const HIGHEST_BID = 1_200

const agent = await new Agent('buyer', SELLER).connect(OVERPOOL_DIR, ['--wallet', WALLET, '--payee', PAYEE])

const price = await agree()
const { word, about: url } = await agent.hear()
if (word !== 'invoice') throw new Error(`an invoice should have come, not a ${word}`)
const { txid } = await agent.call<{ txid: string }>('pay_invoice', { url, max_satoshis: price })
console.log(`I have paid ${price} sat by ${txid}`)
const { about: report } = await agent.hear()
console.log(`the report says: ${report}`)
const { spent, left } = await agent.call<{ spent: number; left: number }>('get_budget', {})
console.log(`${spent} sat are spent, ${left} may be paid now`)
await agent.close()

/** Bids until the price is one that it would bid next. */
async function agree(): Promise<number> {
  let bid = FIRST_BID
  for (let turn = 1; ; turn++) {
    await agent.say('bid', String(bid), `bid ${turn}`)
    const { word, about } = await agent.hear()
    const asked = amountIn(about)
    if (word !== 'ask' || Number.isNaN(asked)) throw new Error(`a ${word} of ${about} is no answer to a bid`)
    const next = Math.min(HIGHEST_BID, bid + STEP)
    if (asked <= next) {
      console.log(`asked for ${asked}, I accept`)
      await agent.say('accept', String(asked), 'accept')
      return asked
    }
    if (next === bid) throw new Error(`${asked} is more than I pay`)
    console.log(`asked for ${asked}, I bid ${next}`)
    bid = next
  }
}
