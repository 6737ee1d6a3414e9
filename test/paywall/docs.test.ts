import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Project, REPOSITORY } from '../cli/project.ts'

it('the program of docs/paywall.md prints what the page shows', async () => {
  await using project = new Project()
  const page = readFileSync(join(REPOSITORY, 'docs/paywall.md'), 'utf8')
  const [, program] = /^```js\n(.*?)^```$/ms.exec(page)!
  const [, output] = /^\$ node shop\.mjs\n(.*?)^```$/ms.exec(page)!
  const here = program!
    .replace("'overpool-cloud'", `'${join(REPOSITORY, 'index.ts')}'`)
    .replace("'hono'", `'${import.meta.resolve('hono')}'`)
  project.write('shop.mjs', here)
  const running = project.run(process.execPath, ['shop.mjs'])
  await running.ended()
  const shape = (text: string) => text.replace(/\b0[23][\da-f]{64}\b/g, 'KEY').trim()
  expect(shape(running.out), running.err).toBe(shape(output!))
})
