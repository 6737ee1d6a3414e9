import { defineConfig } from 'vitest/config'

const stack = process.env.OVERPOOL_STACK_SIDE

// The scenarios run once on each side of the ports; the rest of the tests say for themselves what they run on.
const scenarios = (side: string, ms = 60_000, include = ['test/scenarios/*.test.ts']) => ({
  test: {
    name: `scenarios on ${side}`,
    include,
    setupFiles: ['test/machine/skips.ts'],
    env: { OVERPOOL_SIDE: side },
    testTimeout: ms,
    hookTimeout: ms,
  },
})

/** A file to which the outcome is written as JSON, besides what is printed. */
const results = process.env.OVERPOOL_RESULTS

const json = (outputFile: string): ['json', { outputFile: string }] => ['json', { outputFile }]

export default defineConfig({
  test: {
    reporters: ['default', './test/machine/tally.ts', ...(results ? [json(results)] : [])],
    // A stack is one machine: its scenarios take turns (test/stack/run.ts).
    ...(stack === undefined ? {} : { fileParallelism: false }),
    projects:
      stack === undefined
        ? [
            {
              test: {
                name: 'parts',
                include: ['test/**/*.test.ts'],
                exclude: ['test/scenarios/**', 'test/stack/**'],
                testTimeout: 60_000,
                hookTimeout: 60_000,
              },
            },
            scenarios('sqlite'),
            scenarios('aws'),
          ]
        : [scenarios(stack, 300_000, ['test/scenarios/*.test.ts', 'test/stack/*.test.ts'])],
  },
})
