import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

const stack = process.env.OVERPOOL_STACK_SIDE
/** The sidecar's image, or the reason why this machine cannot build one (test/image/run.ts). */
const image = process.env.OVERPOOL_IMAGE ?? process.env.OVERPOOL_IMAGE_LACKS

// The scenarios run once on SQLite and once on AWS; each of the other tests says itself what it runs on.
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

/** A file that also gets the results, as JSON. */
const results = process.env.OVERPOOL_RESULTS

const json = (outputFile: string): ['json', { outputFile: string }] => ['json', { outputFile }]

export default defineConfig({
  test: {
    reporters: ['default', './test/machine/tally.ts', ...(results ? [json(results)] : [])],
    // A stack is one machine: its test files run one after the other (test/stack/run.ts). Elsewhere a file for each core: most of them wait more than they work.
    ...(stack === undefined ? { maxWorkers: Math.max(2, availableParallelism()) } : { fileParallelism: false }),
    projects: projects(),
  },
})

function projects() {
  if (image !== undefined) {
    const include = ['test/image/*.test.ts']
    return [
      { test: { name: 'tests of the image', include, env: { OVERPOOL_SIDE: 'ministack' }, testTimeout: 120_000, hookTimeout: 120_000 } },
    ]
  }
  if (stack !== undefined) return [scenarios(stack, 300_000, ['test/scenarios/*.test.ts', 'test/stack/*.test.ts'])]
  const exclude = ['**/node_modules/**', 'test/scenarios/**', 'test/stack/**', 'test/image/**']
  return [
    { test: { name: 'parts', include: ['test/**/*.test.ts'], exclude, testTimeout: 60_000, hookTimeout: 60_000 } },
    scenarios('sqlite'),
    scenarios('aws'),
  ]
}
