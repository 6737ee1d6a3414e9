import { filled, type PageData } from '../page-data.ts'
import type { ScriptStrings } from '../strings.ts'
import { findWallet, payWith } from './wallet.ts'
import { Watch } from './watch.ts'

// The script of the invoice page. It pays by the button, and brings the page up to date. It makes no HTML: what has changed is taken from the page as the host makes it anew.

/** A wallet that has not answered after this time may never answer, ms. */
const SILENT_MS = 20_000
const COPIED_MS = 2_000
/** Pauses before a payment is handed over again, ms. */
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [1_000, 15_000]
/** AtomicBEEF as a list of bytes, or text in a form that the host knows. */
type Transaction = number[] | string

const main = byId('invoice')!
let data = read()
const watch = new Watch(() => data, refresh)
/** how often a wallet was asked */
let asked = 0
/** payments that are being handed over */
let underWay = 0
/** payments that the host has refused: the button hands them over again, and the wallet pays no second time */
let refused: Transaction[] = []

enliven()
setInterval(count, 1_000)
document.addEventListener('click', ({ target }) => {
  const button = target instanceof Element ? target.closest('button') : null
  if (button?.id === 'pay' && button.getAttribute('aria-disabled') !== 'true') press()
  if (button?.dataset.copy !== undefined) void copy(button, button.dataset.copy)
})
// A payment that is on its way would be lost with the page.
window.addEventListener('beforeunload', (event) => underWay && event.preventDefault())

function byId(id: string): HTMLElement | null {
  return document.getElementById(id)
}

function read(): PageData {
  return JSON.parse(main.dataset.invoice!) as PageData
}

function press(): void {
  setButton(false)
  watch.askNow()
  const again = refused
  refused = []
  if (again.length) for (const transaction of again) void handOver(transaction)
  else void pay()
}

async function pay(): Promise<void> {
  const attempt = ++asked
  const { strings } = data
  /** Only the newest attempt speaks; but a payment counts, whichever it comes of. */
  const tell = (key: keyof ScriptStrings, values: Record<string, string> = {}, mayTryAgain = true) => {
    if (attempt !== asked) return
    say(key, values)
    setButton(mayTryAgain, strings.tryAgain)
  }
  tell('looking', {}, false)
  const silent = setTimeout(() => tell('silent'), SILENT_MS)
  try {
    const wallet = await findWallet()
    if (!wallet) return tell('none')
    tell('approve', {}, false)
    const { tx, txid } = await payWith(wallet, data)
    if (tx?.length) void handOver(typeof tx === 'string' ? tx : [...tx])
    else tell('onlyTxid', { txid: txid ?? '?' }, false)
  } catch (error) {
    tell('refused', { reason: reasonOf(error) })
  } finally {
    clearTimeout(silent)
  }
}

/** Gives a payment to the host. It is taken once, however often it is sent. */
async function handOver(transaction: Transaction): Promise<void> {
  const { path, merchantData, strings } = data
  const body = JSON.stringify({ transaction, merchantData })
  const headers = { 'content-type': 'application/json', accept: 'application/json' }
  underWay++
  setButton(false)
  say('posting')
  let response: Response | undefined
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    response = await fetch(path, { method: 'POST', headers, body }).catch(() => undefined)
    if (response && response.status < 500 && response.status !== 429) break
    say('retrying')
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  underWay--
  if (response.ok) say('taken')
  else {
    const { memo = `HTTP ${response.status}` } = (await response.json().catch(() => ({}))) as { memo?: string }
    refused.push(transaction)
    say('doorRefused', { reason: memo })
    setButton(true, strings.sendAgain)
  }
  watch.askNow()
}

/** Wallets reject with an error, with a text, or with an object of their own. */
function reasonOf(error: unknown): string {
  const said = error instanceof Object && 'message' in error ? error.message : error
  return String(said)
}

function setButton(isReady: boolean, label?: string): void {
  const button = byId('pay')
  if (!button) return
  button.setAttribute('aria-disabled', String(!isReady))
  if (label !== undefined) button.textContent = label
}

function say(key: keyof ScriptStrings, values: Record<string, string> = {}): void {
  const note = byId('note')
  if (!note) return
  note.textContent = filled(data.strings[key], values)
  note.className = 'loud'
}

/** Takes what has changed from the page as it is now. */
async function refresh(): Promise<void> {
  const response = await fetch(data.path, { headers: { accept: 'text/html' }, cache: 'no-store' })
  const page = new DOMParser().parseFromString(await response.text(), 'text/html')
  const fresh = page.getElementById('invoice')
  if (!response.ok || !fresh) throw new Error('the page could not be fetched')
  const hadFocus = main.contains(document.activeElement)
  const wasOpen = main.querySelector('details')?.open
  const isNew = fresh.dataset.state !== main.dataset.state
  Object.assign(main.dataset, fresh.dataset)
  data = read()
  main.replaceChildren(...fresh.childNodes)
  document.title = page.title
  const details = main.querySelector('details')
  if (details && wasOpen) details.open = true
  if (hadFocus) byId('title')?.focus()
  if (isNew) announce(`${byId('title')?.textContent}. ${byId('means')?.textContent}`)
  if (!data.isAwaited && location.pathname !== data.path) history.replaceState(null, '', data.path) // a receipt has a link that can be kept
  enliven()
}

function announce(text: string): void {
  byId('announcement')!.textContent = text
}

/** Times as the user reads them. */
function enliven(): void {
  const format = new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'short' })
  for (const time of main.querySelectorAll('time')) time.textContent = format.format(new Date(time.dateTime))
  count()
}

/** The user's own form of the page's language. */
function locale(): string {
  const { lang } = document.documentElement
  return navigator.languages.find((language) => language.split('-')[0] === lang) ?? lang
}

/** Shows how much time is left. When it is over, the host says what that means. */
function count(): void {
  const left = byId('left')
  if (!left || data.expiresAt === undefined) return
  const seconds = Math.ceil((data.expiresAt - Date.now()) / 1_000)
  if (seconds <= 0) {
    if (left.textContent) watch.askNow()
    left.textContent = ''
    return
  }
  const [size, unit] =
    seconds < 120 ? [1, 'second'] : seconds < 7_200 ? [60, 'minute'] : seconds < 172_800 ? [3_600, 'hour'] : [86_400, 'day']
  const time = new Intl.NumberFormat(locale(), { style: 'unit', unit, unitDisplay: 'long' }).format(Math.floor(seconds / size))
  left.textContent = filled(data.strings.timeLeft, { time })
}

async function copy(button: HTMLButtonElement, text: string): Promise<void> {
  const label = button.textContent
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    // Without HTTPS there is no clipboard: mark the text, so that the user can copy it.
    const code = button.parentElement?.querySelector('code')
    if (code) getSelection()?.selectAllChildren(code)
    if (!document.execCommand('copy')) return
  }
  button.textContent = data.strings.copied
  announce(data.strings.copied)
  setTimeout(() => (button.textContent = label), COPIED_MS)
}
