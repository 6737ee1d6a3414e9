/** An event of a stream of server-sent events. `tooLong`: its data was dropped. */
export type Frame = { id?: string; type: string; data: string } | { id?: string; tooLong: true }

/** Longest line, and longest data of an event, characters. */
const MAX_LENGTH = 1024 * 1024
const MAX_ID = 256

/** Reads server-sent events (HTML, section 9.2.6) from text that arrives in parts. Whatever arrives, it holds one line and one event of bounded length. */
export class EventScanner {
  #line = ''
  #lineIsTooLong = false
  /** the last character was a carriage return: a line feed that follows belongs to it */
  #afterReturn = false
  #id: string | undefined
  #type = ''
  #data: string[] = []
  #length = 0
  #isTooLong = false

  /** The events that end in this part. */
  push(text: string): Frame[] {
    const frames: Frame[] = []
    let from = this.#afterReturn && text[0] === '\n' ? 1 : 0
    if (text) this.#afterReturn = false
    for (const { 0: end, index } of text.matchAll(/\r\n|\n|\r/g)) {
      if (index < from) continue
      this.#add(text.slice(from, index))
      const frame = this.#endLine()
      if (frame) frames.push(frame)
      from = index + end.length
      this.#afterReturn = end === '\r' && from === text.length
    }
    this.#add(text.slice(from))
    return frames
  }

  #add(part: string): void {
    if (this.#line.length + part.length > MAX_LENGTH) this.#lineIsTooLong = true
    if (this.#lineIsTooLong) this.#line = ''
    else this.#line += part
  }

  #endLine(): Frame | undefined {
    const line = this.#line
    this.#line = ''
    if (this.#lineIsTooLong) {
      this.#lineIsTooLong = false
      this.#dropData()
    } else if (line === '') return this.#endEvent()
    else this.#field(line)
    return undefined
  }

  #field(line: string): void {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'event') this.#type = value
    // An id goes into a request header later.
    if (name === 'id' && value.length <= MAX_ID && /^[\x20-\x7e]*$/.test(value)) this.#id = value
    if (name !== 'data' || this.#isTooLong) return
    this.#length += value.length + 1
    if (this.#length > MAX_LENGTH) this.#dropData()
    else this.#data.push(value)
  }

  #dropData(): void {
    this.#isTooLong = true
    this.#data = []
  }

  #endEvent(): Frame | undefined {
    const id = this.#id
    const type = this.#type || 'message'
    const data = this.#data
    const isTooLong = this.#isTooLong
    this.#type = ''
    this.#data = []
    this.#length = 0
    this.#isTooLong = false
    if (isTooLong) return { ...(id && { id }), tooLong: true }
    return data.length ? { ...(id && { id }), type, data: data.join('\n') } : undefined
  }
}
