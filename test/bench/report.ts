/** What a bench found: a table to read, what was aimed at, and what there is to say besides. */
export interface Figures {
  title: string
  /** the first row names the columns */
  rows: string[][]
  goals: Goal[]
  notes?: string[]
}

export interface Goal {
  what: string
  met: boolean
}

/** How much work a bench does: enough to measure, or (smoke) only so much that it has run. */
export interface Effort {
  smoke: boolean
}

export type Bench = (effort: Effort) => Promise<Figures>

export function median(values: Iterable<number>): number {
  return quantile(values, 0.5)
}

/** @param q 0 the least, 1 the most */
export function quantile(values: Iterable<number>, q: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]! : Number.NaN
}

/** 12,345 or 1.23: four digits at least where there are so many. */
export function number(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 })
}

/** The figures as text, columns aligned, numbers to the right. */
export function textOf({ title, rows, goals, notes = [] }: Figures, { smoke }: Effort): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('   ')
      .trimEnd(),
  )
  const rule = '-'.repeat(Math.max(...lines.map((line) => line.length)))
  const verdicts = smoke ? [] : goals.map(({ what, met }) => `${met ? 'met   ' : 'MISSED'}  ${what}`)
  return ['', title, rule, lines[0], rule, ...lines.slice(1), rule, ...notes, ...verdicts].join('\n')
}
