import { OverpoolError } from '../errors.ts'
import { MAX_SATOSHIS } from '../transaction/reader.ts'

/** An output to ask for: of an amount alone goes to a fresh script of the machine's, otherwise to this script (hex) or address. */
export interface TermsOutput {
  /** satoshis; 0 if left out beside a script */
  amount?: number
  script?: string
  address?: string
  /** up to 100 characters */
  description?: string
}

/** What to ask for. */
export interface Terms {
  outputs?: TermsOutput[]
  /** satoshis, instead of `outputs`: one output to a fresh script */
  amount?: number
  /** for the payer: what it is for. Wallets show 50 characters or fewer */
  memo?: string
  /** ms until it expires; default: never */
  expiresIn?: number
  /** comes back with the payment (`e.invoice.data`); JSON */
  data?: unknown
}

/** The same, with one way to say it. */
export type CheckedTerms = Omit<Terms, 'amount'> & { outputs: TermsOutput[] }

/** A pool's `request`: what it asks of everybody who opens its URL, or a function of the query. */
export type RequestSetting = Terms | ((query: Record<string, string>) => Terms | undefined | Promise<Terms | undefined>)

const KNOWN = ['outputs', 'amount', 'memo', 'expiresIn', 'data']
const MAX_OUTPUTS = 100
/** Characters: BIP270 shows up to 100 of a description, and no wallet shows more of a memo. */
const [MAX_DESCRIPTION, MAX_MEMO] = [100, 1_000]
/** Characters of all of it as JSON: with the rest of a request it has to fit into merchantData (BIP270: 10,000 characters). */
const MAX_TEXT = 6_000
const MAX_EXPIRES_MS = 10 * 365 * 86_400_000

/** Checks what is to be asked for. @param where it stands, for errors. @param code of the error */
export function checkTerms(value: unknown, where: string, code: 'BAD_CONFIG' | 'BAD_ARGUMENT'): CheckedTerms {
  const wrong = (what: string) => new OverpoolError(code, code === 'BAD_CONFIG' ? `the config is wrong: ${what}` : what)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong(`${where} says what is asked for, such as { amount: 1_000, memo: 'coffee' }`)
  const { amount, outputs = amount === undefined ? undefined : [{ amount }], memo, expiresIn, data } = value as Terms
  for (const key of Object.keys(value))
    if (!KNOWN.includes(key)) throw wrong(`there is no \`${key}\` in ${where}; there are ${KNOWN.join(', ')}`)
  if (amount !== undefined && (value as Terms).outputs !== undefined) throw wrong(`${where} has \`amount\`, or \`outputs\`, and not both`)
  if (!Array.isArray(outputs) || !outputs.length || outputs.length > MAX_OUTPUTS)
    throw wrong(`${where} asks for an \`amount\` in satoshis, or for 1 to ${MAX_OUTPUTS} \`outputs\``)
  for (const [i, output] of outputs.entries()) checkOutput(output, amount === undefined ? `${where}.outputs[${i}]` : where, wrong)
  if (memo !== undefined && (typeof memo !== 'string' || memo.length > MAX_MEMO))
    throw wrong(`${where}.memo is a text of up to ${MAX_MEMO} characters`)
  if (expiresIn !== undefined && !(Number.isSafeInteger(expiresIn) && expiresIn > 0 && expiresIn <= MAX_EXPIRES_MS))
    throw wrong(`${where}.expiresIn is a time in ms, such as 15 * 60_000`)
  const text = { outputs, ...(memo !== undefined && { memo }), ...(data !== undefined && { data }) }
  return { ...copyOf(text, where, wrong), ...(expiresIn !== undefined && { expiresIn }) }
}

/** A copy as it comes back from JSON: the caller may change its objects. */
function copyOf<T>(value: T, where: string, wrong: (what: string) => OverpoolError): T {
  let text: string
  try {
    text = JSON.stringify(value)
  } catch {
    throw wrong(`${where}.data is what JSON can hold`)
  }
  if (text.length > MAX_TEXT)
    throw wrong(
      `${where} has ${text.length} characters as JSON, and ${MAX_TEXT} fit into a payment request: keep \`data\` in your own database, under a short id`,
    )
  return JSON.parse(text) as T
}

function checkOutput(output: TermsOutput, where: string, wrong: (what: string) => OverpoolError): void {
  if (typeof output !== 'object' || output === null) throw wrong(`${where} is an object such as { amount: 1_000 }`)
  const { amount, script, address, description, ...others } = output
  for (const key of Object.keys(others))
    throw wrong(`there is no \`${key}\` in ${where}; there are amount, script, address and description`)
  const needsAmount = script === undefined
  if (amount === undefined ? needsAmount : !(Number.isSafeInteger(amount) && amount >= (needsAmount ? 1 : 0) && amount <= MAX_SATOSHIS))
    throw wrong(`${where}.amount is a whole number of satoshis${needsAmount ? ', at least 1' : ''}`)
  if (script !== undefined && address !== undefined) throw wrong(`${where} has a script, or an address, and not both`)
  if (script !== undefined && !(typeof script === 'string' && /^([\da-f]{2}){1,10000}$/i.test(script)))
    throw wrong(`${where}.script is a locking script in hex`)
  if (address !== undefined && typeof address !== 'string') throw wrong(`${where}.address is an address`)
  if (description !== undefined && (typeof description !== 'string' || description.length > MAX_DESCRIPTION))
    throw wrong(`${where}.description is a text of up to ${MAX_DESCRIPTION} characters`)
}
