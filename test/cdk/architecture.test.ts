import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { metricsOf, monthly, monthlyAfterFree, standingOf } from '../aws/month.ts'
import { PER_MILLION, PER_MONTH, PRICED, type Unit } from '../aws/prices.ts'
import { REPOSITORY } from '../cli/project.ts'
import { defaultResources, type Resource } from './synth.ts'

// These tests compare the resources of docs/architecture.md with the template, and its prices with test/aws/prices.ts.

const DOC = readFileSync(join(REPOSITORY, 'docs/architecture.md'), 'utf8')
const COST = readFileSync(join(REPOSITORY, 'docs/cost.md'), 'utf8')
const rows = [...DOC.matchAll(/^\|(?!---)(.*)\|$/gm)].map(([, cells]) => cells!.split('|').map((cell) => cell.trim()))

let resources: Record<string, Resource>
beforeAll(async () => {
  resources = await defaultResources()
})

/** A logical id without the hashes at its end. */
function nameOf(id: string): string {
  return id.replace(/([0-9A-F]{8})+$/, '')
}

/** The one row that begins with this cell. */
function row(first: string): string[] {
  const found = rows.filter(([cell]) => cell === first)
  expect(found, `the row of "${first}"`).toHaveLength(1)
  return found[0]!
}

describe('the page on the AWS architecture', () => {
  it('names exactly the resources of the default config, with their types', () => {
    const documented = rows.flatMap(([names, type]) =>
      type?.startsWith('AWS::') ? [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => `${type} ${name}`) : [],
    )
    const there = Object.entries(resources).map(([id, { Type }]) => `${Type} ${nameOf(id)}`)
    expect(documented.sort()).toEqual(there.sort())
  })

  it('says why every resource exists and what it costs', () => {
    for (const cells of rows.filter(([, type]) => type?.startsWith('AWS::'))) {
      expect(cells, cells[0]).toHaveLength(4)
      for (const cell of cells) expect(cell, cells[0]).not.toBe('')
    }
  })

  it('lists the price of each alarm', () => {
    for (const [id, { Type, Properties }] of Object.entries(resources)) {
      if (Type !== 'AWS::CloudWatch::Alarm') continue
      expect(row(`\`${nameOf(id)}\``)[3], id).toBe(`$${(metricsOf(Properties) * PER_MONTH['alarm metric']).toFixed(2)} a month`)
    }
  })

  it('computes the cost of an idle month from the template and one file of prices', () => {
    expect(DOC).toContain(`list prices of us-east-1, ${PRICED}`)
    const standing = standingOf(resources)
    for (const one of standing) {
      const { what, unit, count } = one
      expect(row(what).slice(1)).toEqual([`${count} ${unit}`, monthly(one).toFixed(2), monthlyAfterFree(one).toFixed(2)])
    }
    const asks = rows.filter(([what]) => what!.startsWith('asks: '))
    expect(asks.length).toBeGreaterThan(3)
    const [, , list, afterFree] = row('**a month at rest**')
    const asked = (column: number) => sum(asks.map((cells) => Number(cells[column])))
    expect(bold(list!)).toBeCloseTo(sum(standing.map(monthly)) + asked(2), 1)
    expect(bold(afterFree!)).toBeCloseTo(sum(standing.map(monthlyAfterFree)) + asked(3), 1)
  })

  it('computes the cost of payments and of polling from the same prices', () => {
    const billed = rows.flatMap((cells) => {
      const byTheClock = cells[0]!.startsWith('asks: ')
      const units = unitsOf(cells[byTheClock ? 1 : 2] ?? '')
      // a row of polling has the units of a month; a row of payments has the units of 1,000, priced for a million
      return units
        ? [{ what: cells[0]!, expected: units.dollars * (byTheClock ? 1 : 1_000), dollars: Number(cells[byTheClock ? 2 : 3]) }]
        : []
    })
    expect(billed.length).toBeGreaterThan(20)
    for (const { what, expected, dollars } of billed) expect(dollars, what).toBeCloseTo(expected, 1)
    const byPayments = billed.filter(({ what }) => !what.startsWith('asks: '))
    expect(bold(row('**sum**')[3]!)).toBeCloseTo(sum(byPayments.map(({ dollars }) => dollars)), 1)
  })

  it('computes from the same prices what Bitcoin costs', () => {
    const of: Record<string, Unit> = { reads: 'read unit', writes: 'write unit', sends: 'SQS request', 'FIFO requests': 'SQS FIFO request' }
    const priced = rows.flatMap(([what, cell = '', dollars]) => {
      const [, count, name] = /^([\d.,]+) (reads|writes|sends|FIFO requests)\b/.exec(cell) ?? []
      if (!count) return []
      const units = Number(count.replaceAll(',', ''))
      const isMonth = count.includes(',') // a row of looking has the requests of a month; a row of payments has those of one, priced for a million
      return [{ what, expected: PER_MILLION[of[name!]!] * (isMonth ? units / 1_000_000 : units), dollars: Number(dollars) }]
    })
    expect(priced.length).toBeGreaterThan(9)
    for (const { what, expected, dollars } of priced) expect(dollars, what).toBeCloseTo(expected, 1)
    const from = rows.findIndex(([what, units]) => what === 'request' && units === 'of each payment')
    const to = rows.findIndex(([what]) => what === 'sum')
    expect(sum(rows.slice(from + 1, to).map(([, , dollars]) => Number(dollars)))).toBeCloseTo(Number(rows[to]![2]), 1)
    expect(COST).toContain(`cost $${rows[to]![2]} per million`)
  })

  it('agrees with docs/cost.md', () => {
    const [, ...perMillion] = row('**$ per million**')
    expect(COST).toContain(`| $ per million payments | ${perMillion.map((cell) => bold(cell).toFixed(2)).join(' | ')} |`)
    const [, , list, afterFree] = row('**a month at rest**')
    expect(COST).toContain(`A month in which nobody pays is $${bold(list!).toFixed(2)}, or $${bold(afterFree!).toFixed(2)} `)
    expect(COST).toContain(`list prices of us-east-1, ${PRICED}`)
  })
})

function sum(numbers: number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}

/** The number in a bold cell. */
function bold(cell: string): number {
  return Number(cell.replaceAll('*', ''))
}

/** The price of the units in a cell, such as `1000 write units`. */
function unitsOf(cell: string): { dollars: number } | undefined {
  const [, count, name] = /^([\d,]+) (.+)$/.exec(cell) ?? []
  const unit = (Object.keys(PER_MILLION) as Unit[]).find((unit) => name === unit || name === `${unit}s`)
  return unit && { dollars: (Number(count!.replaceAll(',', '')) / 1_000_000) * PER_MILLION[unit] }
}
