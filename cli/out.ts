/** Where a command's answer goes: lines for people, or one JSON value a line. */
export interface Out {
  show: (value: object, text: string) => void
  /** for people only */
  say: (text: string) => void
}

export function outOf(json: boolean): Out {
  return {
    show: (value, text) => console.log(json ? JSON.stringify(value) : text),
    say: (text) => {
      if (!json) console.log(text)
    },
  }
}

export function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`
}
