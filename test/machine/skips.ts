import { beforeEach } from 'vitest'
import { SIDE } from './machine.ts'

/** Scenarios that cannot run on a target, by their names, and why. */
const SKIPPED: Partial<Record<typeof SIDE, Record<string, string>>> = {
  ministack: { ...codeIsInFunctions() },
  localstack: { ...codeIsInFunctions(), ...inChaos('it takes a load for a minute, under which the quicker emulator is put') },
  deployed: {
    ...codeIsInFunctions(),
    ...inChaos('ECS stops and starts the sidecar there, not the test, and nothing stands between the machine and AWS'),
    'goes on where it stopped, and does nothing twice': 'ECS stops and starts the sidecar there, not the test',
    'takes payments while no handler works, and hands them over when one does': 'ECS stops and starts the sidecar there, not the test',
    'whose hypercores are deleted makes them again, with the same key and tree hash': 'the hypercores are on the disk of an ECS task',
  },
}

function codeIsInFunctions(): Record<string, string> {
  return {
    'through the API passes the filter too':
      'the filter is code of the functions, which who posts with AWS credentials does not go through',
    'that is killed while its handler runs calls it again with that entry, and its loop is posted once':
      'the handler runs in a function, which goes on when the sidecar is killed',
  }
}

function inChaos(why: string): Record<string, string> {
  const names = ['in bad weather', 'whose sidecar dies ten times', 'with two sidecars']
  return Object.fromEntries(names.map((name) => [`${name} keeps its promises`, why]))
}

// The scenarios themselves do not know where they run.
beforeEach(({ task, skip }) => {
  const why = SKIPPED[SIDE]?.[task.name]
  if (why !== undefined) skip(why)
})
