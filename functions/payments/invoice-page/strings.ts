import type { InvoiceState } from '../../../shared/invoice/view.ts'
import type { StatusName } from '../../../shared/ledger/status.ts'

// All that an invoice page says. To translate it, add a language below; names in braces stand for what the page puts there.

/** What has a text for each name that the program knows. */
interface Typed {
  /** of each state: its name, what it means, and what to do, if there is something to do */
  states: Record<InvoiceState | 'underWay' | 'underpaidExpired', { title: string; means: string; todo: string }>
  /** what has become of the transaction */
  statuses: Record<StatusName | 'recorded', string>
}

const en = {
  pageTitle: '{title} – invoice from {to}',
  invoiceFrom: 'Invoice from',
  states: {
    open: {
      title: 'Waiting for payment',
      means: 'Pay with the button or the code. This page turns into your receipt by itself.',
      todo: '',
    },
    underWay: {
      title: 'Payment received',
      means: 'Your payment has arrived and is being recorded.',
      todo: 'Do not pay again. Your receipt appears here in a moment.',
    },
    underpaid: {
      title: 'Not paid in full',
      means: 'A payment of {received} satoshis has arrived. {missing} satoshis are missing. What has arrived is recorded and not lost.',
      todo: 'Ask {to} what to do, and show them this page. Or pay the whole amount in one payment now, and ask {to} to return the first one.',
    },
    underpaidExpired: {
      title: 'Not paid in full, and expired',
      means:
        'A payment of {received} satoshis has arrived. {missing} satoshis are missing. The time to pay this invoice is over. What has arrived is recorded and not lost.',
      todo: 'Do not pay now. Show this page to {to}: they accept what has arrived, return it, or give you a new invoice.',
    },
    paid: { title: 'Paid', means: 'Thank you. This page is your receipt.', todo: '' },
    overpaid: {
      title: 'Paid, with too much',
      means: 'The invoice is paid. {tooMuch} satoshis more than asked have arrived.',
      todo: 'This page is your receipt. Show it to {to} to get back what was too much.',
    },
    late: {
      title: 'Paid too late',
      means: 'Your payment arrived after this invoice had expired. It is recorded and not lost.',
      todo: 'Do not pay again. Show this page to {to}: they accept the payment or return it.',
    },
    second: {
      title: 'Paid twice',
      means: 'This invoice had been paid before. The second payment is recorded and not lost.',
      todo: 'Show this page to {to} and ask for the second payment back.',
    },
    expired: {
      title: 'Expired',
      means: 'The time to pay this invoice is over.',
      todo: 'Do not pay it. Ask {to} for a new invoice. If you have paid, keep this page open: a late payment appears here.',
    },
    cancelled: {
      title: 'Cancelled',
      means: '{to} has cancelled this invoice.',
      todo: 'Do not pay it. If you have paid, show this page to {to} and ask for your money back.',
    },
  },
  statuses: {
    recorded: 'recorded',
    local: 'recorded',
    sent: 'sent to the network',
    seen: 'seen by the network',
    mined: 'mined in a block',
    rejected: 'refused by the network',
    'double-spent': 'refused by the network: its coins were spent elsewhere',
  },
  satoshis: 'satoshis',
  due: 'Amount due',
  received: 'Received',
  missing: 'Missing',
  tooMuch: 'Too much',
  for: 'For',
  to: 'To',
  until: 'Pay until',
  expiredAt: 'Expired',
  paidAt: 'Paid on',
  items: 'Items',
  pay: 'Pay with your wallet',
  payAgain: 'Pay the whole amount',
  payNote: 'Your wallet shows the payment, and asks you before it pays.',
  needsScript: 'The Pay button needs JavaScript. Without it, scan the code or use the links below.',
  lookAgain: 'Look again whether it is paid',
  scan: 'Or scan this code with your phone: it opens this page in your wallet or browser.',
  qr: 'QR code of the address of this page',
  otherWays: 'Other ways to pay',
  address: 'Address',
  addressWatched: 'Send exactly {amount} BSV in one payment. This page notices it when the network has it.',
  addressNote: 'Send exactly {amount} BSV in one payment. This page does not notice it: tell {to} the transaction id.',
  amount: 'Amount in BSV',
  addressLink: 'Payment link (address)',
  payLink: 'Payment link (BIP270)',
  bip272Link: 'Payment link (BIP272)',
  open: 'Open',
  copy: 'Copy',
  txid: 'Transaction',
  network: 'Status',
  place: 'Recorded as',
  placeOf: 'entry {seq} of {pool}',
  refusedPayAgain: 'The Bitcoin network has refused the payment. This invoice is open again: it can be paid by another one.',
  notOnChain: 'The payment is recorded, but the Bitcoin network has refused it. Show this page to {to} and ask what to do.',
  keepLink: 'Link to this receipt',
  keepNote: 'Keep this link, or print this page.',
  invoice: 'Invoice {id}',
  script: {
    description: 'Pay {to}',
    timeLeft: '{time} left',
    looking: 'Looking for your wallet. If the browser asks whether this page may reach apps on this device, allow it.',
    approve: 'Your wallet asks you now. Approve the payment there.',
    silent:
      'Your wallet has not answered yet. Look for its window. You can also scan the code with your phone. However you pay, this page notices it. Before you try again, see in your wallet that it has not paid.',
    refused: 'Your wallet has not paid: {reason}',
    none: 'No wallet was found in this browser or on this computer. Scan the code with a phone that has a wallet, or open “Other ways to pay”.',
    posting: 'Your wallet has paid. The payment is being handed over.',
    retrying: 'Your wallet has paid, but the payment could not be handed over yet. Keep this page open: it tries again.',
    doorRefused: 'The payment was not accepted: {reason}',
    onlyTxid: 'Your wallet says that it has paid, as transaction {txid}. This page waits until it arrives. Do not pay again.',
    taken: 'Your payment has arrived.',
    tryAgain: 'Try again',
    sendAgain: 'Hand the payment over again',
    copied: 'Copied',
  },
} satisfies Typed & Record<string, unknown>

export type Strings = typeof en
export type ScriptStrings = Strings['script']

const de: Strings = {
  pageTitle: '{title} – Rechnung von {to}',
  invoiceFrom: 'Rechnung von',
  states: {
    open: {
      title: 'Noch nicht bezahlt',
      means: 'Bezahlen Sie mit dem Knopf oder dem Code. Diese Seite wird von selbst zu Ihrer Quittung.',
      todo: '',
    },
    underWay: {
      title: 'Zahlung erhalten',
      means: 'Ihre Zahlung ist angekommen und wird gerade verbucht.',
      todo: 'Zahlen Sie nicht noch einmal. Gleich steht hier Ihre Quittung.',
    },
    underpaid: {
      title: 'Nicht vollständig bezahlt',
      means:
        'Eine Zahlung von {received} Satoshis ist angekommen. Es fehlen {missing} Satoshis. Was angekommen ist, ist verbucht und nicht verloren.',
      todo: 'Fragen Sie {to}, was zu tun ist, und zeigen Sie dabei diese Seite. Oder zahlen Sie jetzt den ganzen Betrag auf einmal und bitten Sie {to}, die erste Zahlung zurückzugeben.',
    },
    underpaidExpired: {
      title: 'Nicht vollständig bezahlt und abgelaufen',
      means:
        'Eine Zahlung von {received} Satoshis ist angekommen. Es fehlen {missing} Satoshis. Die Zeit, diese Rechnung zu bezahlen, ist vorbei. Was angekommen ist, ist verbucht und nicht verloren.',
      todo: 'Zahlen Sie jetzt nicht. Zeigen Sie {to} diese Seite: Was angekommen ist, wird dort angenommen oder zurückgegeben, oder Sie bekommen eine neue Rechnung.',
    },
    paid: { title: 'Bezahlt', means: 'Vielen Dank. Diese Seite ist Ihre Quittung.', todo: '' },
    overpaid: {
      title: 'Bezahlt, mit zu viel Geld',
      means: 'Die Rechnung ist bezahlt. Es sind {tooMuch} Satoshis zu viel angekommen.',
      todo: 'Diese Seite ist Ihre Quittung. Zeigen Sie sie {to}, um das, was zu viel war, zurückzubekommen.',
    },
    late: {
      title: 'Zu spät bezahlt',
      means: 'Ihre Zahlung kam nach dem Ablauf dieser Rechnung an. Sie ist verbucht und nicht verloren.',
      todo: 'Zahlen Sie nicht noch einmal. Zeigen Sie {to} diese Seite: Die Zahlung wird dort angenommen oder zurückgegeben.',
    },
    second: {
      title: 'Doppelt bezahlt',
      means: 'Diese Rechnung war schon bezahlt. Die zweite Zahlung ist verbucht und nicht verloren.',
      todo: 'Zeigen Sie {to} diese Seite und bitten Sie um die zweite Zahlung.',
    },
    expired: {
      title: 'Abgelaufen',
      means: 'Die Zeit, diese Rechnung zu bezahlen, ist vorbei.',
      todo: 'Bezahlen Sie sie nicht. Bitten Sie {to} um eine neue Rechnung. Haben Sie schon bezahlt, so lassen Sie diese Seite offen: Eine späte Zahlung erscheint hier.',
    },
    cancelled: {
      title: 'Storniert',
      means: '{to} hat diese Rechnung storniert.',
      todo: 'Bezahlen Sie sie nicht. Haben Sie schon bezahlt, so zeigen Sie {to} diese Seite und bitten Sie um Ihr Geld.',
    },
  },
  statuses: {
    recorded: 'verbucht',
    local: 'verbucht',
    sent: 'an das Netz gesendet',
    seen: 'vom Netz gesehen',
    mined: 'in einem Block',
    rejected: 'vom Netz abgelehnt',
    'double-spent': 'vom Netz abgelehnt: Das Geld wurde anderswo ausgegeben',
  },
  satoshis: 'Satoshis',
  due: 'Betrag',
  received: 'Erhalten',
  missing: 'Fehlt',
  tooMuch: 'Zu viel',
  for: 'Für',
  to: 'An',
  until: 'Zahlbar bis',
  expiredAt: 'Abgelaufen',
  paidAt: 'Bezahlt am',
  items: 'Posten',
  pay: 'Mit Ihrer Wallet bezahlen',
  payAgain: 'Den ganzen Betrag bezahlen',
  payNote: 'Ihre Wallet zeigt die Zahlung und fragt Sie, bevor sie zahlt.',
  needsScript: 'Der Knopf zum Bezahlen braucht JavaScript. Ohne JavaScript scannen Sie den Code oder nehmen einen der Links weiter unten.',
  lookAgain: 'Nachsehen, ob bezahlt ist',
  scan: 'Oder scannen Sie diesen Code mit dem Handy: Er öffnet diese Seite in Ihrer Wallet oder im Browser.',
  qr: 'QR-Code der Adresse dieser Seite',
  otherWays: 'Andere Wege zu bezahlen',
  address: 'Adresse',
  addressWatched: 'Senden Sie genau {amount} BSV in einer Zahlung. Diese Seite bemerkt sie, sobald das Netz sie hat.',
  addressNote: 'Senden Sie genau {amount} BSV in einer Zahlung. Diese Seite bemerkt sie nicht: Nennen Sie {to} die Transaktions-ID.',
  amount: 'Betrag in BSV',
  addressLink: 'Link zum Bezahlen (Adresse)',
  payLink: 'Link zum Bezahlen (BIP270)',
  bip272Link: 'Link zum Bezahlen (BIP272)',
  open: 'Öffnen',
  copy: 'Kopieren',
  txid: 'Transaktion',
  network: 'Stand',
  place: 'Verbucht als',
  placeOf: 'Eintrag {seq} von {pool}',
  refusedPayAgain:
    'Das Bitcoin-Netz hat die Zahlung abgelehnt. Die Rechnung ist wieder offen und kann mit einer anderen Zahlung bezahlt werden.',
  notOnChain:
    'Die Zahlung ist verbucht, aber das Bitcoin-Netz hat sie abgelehnt. Zeigen Sie {to} diese Seite und fragen Sie, was zu tun ist.',
  keepLink: 'Link zu dieser Quittung',
  keepNote: 'Bewahren Sie diesen Link auf, oder drucken Sie diese Seite.',
  invoice: 'Rechnung {id}',
  script: {
    description: 'Zahlung an {to}',
    timeLeft: 'noch {time}',
    looking: 'Ihre Wallet wird gesucht. Fragt der Browser, ob diese Seite Apps auf diesem Gerät erreichen darf, so erlauben Sie es.',
    approve: 'Ihre Wallet fragt Sie jetzt. Bestätigen Sie die Zahlung dort.',
    silent:
      'Ihre Wallet hat noch nicht geantwortet. Suchen Sie ihr Fenster. Sie können den Code auch mit dem Handy scannen. Wie Sie auch zahlen, diese Seite bemerkt es. Bevor Sie es noch einmal versuchen, sehen Sie in Ihrer Wallet nach, dass sie nicht gezahlt hat.',
    refused: 'Ihre Wallet hat nicht gezahlt: {reason}',
    none: 'In diesem Browser und auf diesem Computer wurde keine Wallet gefunden. Scannen Sie den Code mit einem Handy, das eine Wallet hat, oder öffnen Sie „Andere Wege zu bezahlen“.',
    posting: 'Ihre Wallet hat gezahlt. Die Zahlung wird übergeben.',
    retrying:
      'Ihre Wallet hat gezahlt, aber die Zahlung konnte noch nicht übergeben werden. Lassen Sie diese Seite offen: Sie versucht es weiter.',
    doorRefused: 'Die Zahlung wurde nicht angenommen: {reason}',
    onlyTxid:
      'Ihre Wallet sagt, dass sie gezahlt hat, mit der Transaktion {txid}. Diese Seite wartet, bis sie ankommt. Zahlen Sie nicht noch einmal.',
    taken: 'Ihre Zahlung ist angekommen.',
    tryAgain: 'Noch einmal versuchen',
    sendAgain: 'Die Zahlung noch einmal übergeben',
    copied: 'Kopiert',
  },
}

/** The languages of the page, by their tags. */
export const LANGUAGES: Record<string, Strings> = { en, de }
