/** The result of a bench: a table, the goals, and notes. */
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

/** How much work a bench does: enough to measure, or (smoke) only enough to show that it runs. */
export interface Effort {
  smoke: boolean
}

export type Bench = (effort: Effort) => Promise<Figures | Figures[]>

export function median(values: Iterable<number>): number {
  return quantile(values, 0.5)
}

/** @param q from 0, the least value, to 1, the greatest */
export function quantile(values: Iterable<number>, q: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]! : Number.NaN
}

/** 12,345 or 1.23: values under 100 have two decimals, others none. */
export function number(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 })
}

/** The figures as text, with aligned columns and numbers to the right. */
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
