import type { Machine, Stage } from '../stage.ts'

const VENDORS = ['ana', 'ben', 'cleo']

/** What three people type on three computers, and a customer. It goes on until Ctrl-C. */
export default async function story(stage: Stage): Promise<void> {
  await stage.dht()
  const machines: Machine[] = []
  for (const VENDOR of VENDORS) machines.push(await stage.start(VENDOR, { VENDOR }))
  for (const { name } of machines)
    for (const other of machines) if (other.name !== name) await stage.run(name, 'sub', other.pools[other.name]!.key)

  const bill = '01000000000000000000' // no inputs, no outputs
  const [ana, , cleo] = machines
  await stage.post('customer', ana!.pools.ana!.url, bill, 'table 1')
  const [, txid] = await cleo!.says(/complete.* ([0-9a-f]{64})$/)
  await stage.run('cleo', 'trail', 'cleo', txid!)
  stage.tell(`
From another terminal another table orders, and how a machine stands is seen:

  ${stage.curl(ana!.pools.ana!.url, bill, 'table 2')}
  npx overpool --dir ${stage.folderOf('ben')} status

Ctrl-C stops all of it.`)
  await new Promise<never>(() => {})
}
