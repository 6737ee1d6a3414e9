import type { Reporter, TestCase, TestModule } from 'vitest/node'

/** Prints for each target how many scenarios (or tests of the image) ran, and the reason of each that was skipped; of the other tests only the skipped ones that give a reason. */
export default class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const byTarget = Map.groupBy(
      modules.flatMap((module) => [...module.children.allTests()]),
      (test) => test.project.name,
    )
    for (const [project, tests] of byTarget) {
      const isOfParts = project === 'parts'
      const count = (state: string) => tests.filter((test) => test.result().state === state).length
      const skipped = tests.filter((test) => test.result().state === 'skipped' && (!isOfParts || noteOf(test) !== undefined))
      if (!isOfParts)
        console.log(`${count('passed')} of ${tests.length} ${project} passed, ${count('failed')} failed, ${skipped.length} skipped`)
      for (const test of skipped) console.log(`  skipped: ${test.fullName}: ${noteOf(test) ?? 'no reason was given'}`)
    }
  }
}

function noteOf(test: TestCase): string | undefined {
  const result = test.result()
  return result.state === 'skipped' ? result.note || undefined : undefined
}
