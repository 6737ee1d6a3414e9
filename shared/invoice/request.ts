import type { InvoiceView } from './view.ts'

/** BIP270: characters of an output's description. ElectrumSV counts those of its JSON in ASCII, and refuses the whole request if there are more. */
const MAX_DESCRIPTION = 100
const SATOSHIS = 100_000_000

/**
 * A BIP270 PaymentRequest. What is not said is absent: some wallets refuse null.
 * @param network ElectrumSV wants "bitcoin", HandCash "bitcoin-sv"
 */
export function paymentRequestOf(view: InvoiceView, network: 'bitcoin' | 'bitcoin-sv'): object {
  const { outputs, createdAt, expiresAt, memo, url, merchantData } = view
  return {
    network,
    outputs: outputs.map(({ satoshis, script, description }) => ({
      amount: satoshis,
      script,
      ...(description !== undefined && { description: shortened(description) }),
    })),
    creationTimestamp: Math.floor(createdAt / 1_000),
    ...(expiresAt !== undefined && { expirationTimestamp: Math.floor(expiresAt / 1_000) }),
    ...(memo !== undefined && { memo }),
    paymentUrl: url,
    merchantData,
  }
}

/** As much of a description as every wallet takes. */
function shortened(description: string): string {
  let said = ''
  let length = 2 // its quotation marks
  for (const character of description) {
    length += /[^\x20-\x7e]/.test(character) ? 6 * character.length : JSON.stringify(character).length - 2
    if (length > MAX_DESCRIPTION) break
    said += character
  }
  return said
}

/** The ways to write an invoice as a URI: its page, `pay:` as most wallets of 2019 know it, BIP272, and an address, if one output to an address is all that is asked for. */
export function urisOf(url: string, outputs: InvoiceView['outputs']): InvoiceView['uris'] {
  const [only, ...others] = outputs
  const asked = encodeURIComponent(url)
  return {
    page: url,
    pay: `pay:?r=${asked}`,
    bip272: `bitcoin:?sv&r=${asked}`,
    ...(only?.address !== undefined && !others.length && { address: `bitcoin:${only.address}?amount=${inCoins(only.satoshis)}` }),
  }
}

/** Satoshis as bitcoins, without zeros at the end. */
function inCoins(satoshis: number): string {
  const [whole, rest] = [Math.floor(satoshis / SATOSHIS), satoshis % SATOSHIS]
  return rest ? `${whole}.${String(rest).padStart(8, '0').replace(/0+$/, '')}` : String(whole)
}
