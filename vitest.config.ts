import { defineConfig } from 'vitest/config'

// The scenarios run once on each side of the ports; the rest of the tests say for themselves what they run on.
const scenarios = (side: string) => ({
  test: {
    name: `scenarios on ${side}`,
    include: ['test/scenarios/*.test.ts'],
    env: { OVERPOOL_SIDE: side },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})

/** A file to which the outcome is written as JSON, besides what is printed. */
const results = process.env.OVERPOOL_RESULTS

export default defineConfig({
  test: {
    reporters: results ? ['default', ['json', { outputFile: results }]] : ['default'],
    projects: [
      { test: { name: 'parts', include: ['test/**/*.test.ts'], exclude: ['test/scenarios/**'], testTimeout: 60_000, hookTimeout: 60_000 } },
      scenarios('sqlite'),
      scenarios('aws'),
    ],
  },
})
