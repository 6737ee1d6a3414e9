import type { Reporter, TestCase, TestModule } from 'vitest/node'

/** Prints for each target how many scenarios (or tests of the image) ran, and the reason of each that was skipped. */
export default class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const byTarget = Map.groupBy(
      modules.flatMap((module) => [...module.children.allTests()]),
      (test) => test.project.name,
    )
    for (const [project, tests] of byTarget) {
      if (project === 'parts') continue
      const count = (state: string) => tests.filter((test) => test.result().state === state).length
      const skipped = tests.filter((test) => test.result().state === 'skipped')
      console.log(`${count('passed')} of ${tests.length} ${project} passed, ${count('failed')} failed, ${skipped.length} skipped`)
      for (const test of skipped) console.log(`  skipped: ${test.fullName}: ${reasonOf(test)}`)
    }
  }
}

function reasonOf(test: TestCase): string {
  const result = test.result()
  return (result.state === 'skipped' && result.note) || 'no reason was given'
}
