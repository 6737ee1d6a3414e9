// Sells a weather report: asks for 1500 satoshis, comes down by 150 each time, and not below 900. It delivers when Bitcoin has the payment in a block.

import { Agent, amountIn } from './agent.ts'

const { OVERPOOL_DIR = '.overpool', BUYER = '' } = process.env
const FIRST_PRICE = 1_500
const STEP = 150
const LOWEST_PRICE = 900
const REPORT = 'rain until noon, then sun'

const agent = await new Agent('seller', BUYER).connect(OVERPOOL_DIR)

const price = await agree()
const { url } = await agent.call<{ url: string }>('make_invoice', { pool: 'till', satoshis: price, memo: 'a weather report', id: 'report' })
await agent.say('invoice', url, 'invoice')

const { payment } = await paid('paid')
console.log(`paid ${price} sat by ${payment!.txid}`)
await agent.call('broadcast', { pool: 'till', txids: [payment!.txid], id: 'report' }) // the buyer's word that it was broadcast is not needed
await paid('mined')
console.log('the payment is mined')
await agent.say('report', REPORT, 'report')
await agent.close()

/** Names prices until the buyer accepts one. */
async function agree(): Promise<number> {
  let asked = FIRST_PRICE
  for (let turn = 1; ; turn++) {
    const { word, about } = await agent.hear()
    const said = amountIn(about)
    if (word === 'accept' && said === asked) return asked
    if (word !== 'bid') throw new Error(`a ${word} of ${about} is no answer to ${asked}`)
    if (turn > 1) asked = Math.max(LOWEST_PRICE, asked - STEP)
    console.log(`bid ${said}, I ask for ${asked}`)
    await agent.say('ask', String(asked), `ask ${turn}`)
  }
}

interface Invoice {
  state: string
  timed_out: boolean
  payment?: { txid: string }
}

async function paid(until: 'paid' | 'mined'): Promise<Invoice> {
  while (true) {
    const invoice = await agent.call<Invoice>('wait_for_payment', { pool: 'till', id: 'report', until, timeout_seconds: 50 })
    if (!invoice.timed_out) return invoice
  }
}
