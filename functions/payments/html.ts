/** Text that is HTML already. */
export class Markup {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** What a template takes: a text or a number is escaped, markup is not, nothing is nothing. */
export type Part = string | number | Markup | undefined | false | Part[]

/** Makes HTML. Whatever is put in is escaped, unless this function has made it: text of others never becomes markup. Put values of attributes in double quotes. */
export function html(texts: TemplateStringsArray, ...parts: Part[]): Markup {
  return new Markup(String.raw({ raw: texts }, ...parts.map(rendered)))
}

function rendered(part: Part): string {
  if (part === undefined || part === false) return ''
  if (Array.isArray(part)) return part.map(rendered).join('')
  return part instanceof Markup ? part.text : escaped(String(part))
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character]!)
}
