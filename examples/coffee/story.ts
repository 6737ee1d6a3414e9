import type { Stage } from '../stage.ts'

/** The shop opens, and stays open until Ctrl-C. */
export default async function story(stage: Stage): Promise<void> {
  const { says } = stage.program('shop', ['main.ts'], {})
  const [, url] = await says(/^order at (\S+)$/)
  stage.tell(`
Open ${url} in a browser and order a coffee. On its invoice, pay with a BRC-100 wallet (the Pay button), or with any wallet that reads the code.
${url}/orders is what the barista sees.

Ctrl-C closes the shop.`)
  await new Promise<never>(() => {})
}
