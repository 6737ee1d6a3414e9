/**
 * What a terminal obeys instead of showing it (ESC, BEL, CR and the rest of C0, DEL, C1), what reorders or hides the text around it, and the line ends that some readers know
 * besides the line feed. A tab is harmless.
 */
const CONTROLS = /[^\P{Cc}\t]|[\p{Bidi_Control}\p{Zl}\p{Zp}\u206a-\u206f\ufeff\ufff9-\ufffb]/gu

/** A text in a structured log, characters. */
const MAX_IN_LOG = 10_000

/**
 * Text as it may be printed, at a terminal or in a log: each control character as its escape, as JSON writes it. Payers, peers, and errors that quote them choose what is in a
 * text. Everything that this program prints passes through here. Line feeds stay, for texts of several lines: `inLine` is for what others wrote.
 */
export function printed(text: string): string {
  return text.replace(CONTROLS, (control) => (control === '\n' ? control : escaped(control)))
}

/** Text of others, as a part of one line. */
export function inLine(text: string): string {
  return text.replace(CONTROLS, escaped)
}

/** A line of a log. Its further lines, such as those of a stack, are indented: none looks like a line of its own. */
export function logged(text: string): string {
  return printed(`overpool: ${text}`).replace(/\n(?=\S)/g, '\n    ')
}

/** Has JSON.stringify write the texts in a value so that a log can hold them. */
export function printable(_: string, value: unknown): unknown {
  return typeof value === 'string' ? printed(cut(value, MAX_IN_LOG)) : value
}

/** The beginning of a text that is too long. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length - most} characters more)`
}

function escaped(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`
}
