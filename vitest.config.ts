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

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'parts', include: ['test/**/*.test.ts'], exclude: ['test/scenarios/**'], testTimeout: 60_000, hookTimeout: 60_000 } },
      scenarios('sqlite'),
      scenarios('aws'),
    ],
  },
})
