import { beforeEach } from 'vitest'
import { SIDE } from './machine.ts'

/** Scenarios that cannot run on a target, by their names, with the reason. */
const SKIPPED: Partial<Record<typeof SIDE, Record<string, string>>> = {
  ministack: { ...codeIsInFunctions() },
  localstack: { ...codeIsInFunctions(), ...inChaos('it needs a minute of load, which runs on the faster emulator') },
  deployed: {
    ...codeIsInFunctions(),
    ...inChaos('ECS stops and starts the sidecar there, and the test cannot, and there is no proxy between the machine and AWS'),
    'goes on where it stopped, and repeats nothing': 'ECS stops and starts the sidecar there, and the test cannot',
    'takes payments while no handler runs, and gives them to the handler when it does':
      'ECS stops and starts the sidecar there, and the test cannot',
    'whose hypercores are deleted rebuilds them, with the same key and tree hash': 'the hypercores are on the disk of an ECS task',
  },
}

function codeIsInFunctions(): Record<string, string> {
  return {
    'through the API passes the filter too':
      'the filter runs in the function behind the door, and a post with AWS credentials does not pass the door',
    'that is killed while its handler runs calls the handler again with that entry, and the next step of its loop is posted once':
      'the handler runs in a function, which goes on when the sidecar is killed',
  }
}

function inChaos(why: string): Record<string, string> {
  const names = ['in bad weather', 'when its sidecar dies ten times', 'with two sidecars']
  return Object.fromEntries(names.map((name) => [`keeps its promises ${name}`, why]))
}

// The skips are here, so that no scenario needs to know where it runs.
beforeEach(({ task, skip }) => {
  const why = SKIPPED[SIDE]?.[task.name]
  if (why !== undefined) skip(why)
})
