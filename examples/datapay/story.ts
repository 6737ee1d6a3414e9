import { type Stage, Wallet } from '../stage.ts'

/** A coin is sent to the key of the machine, and two notes are written to the chain. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const payer = new Wallet('payer')
  const { says } = await stage.start('writer', { KEY: payer.key.toWif(), ADDRESS: payer.address })
  const coin = await alice.pay(payer.address, 10_000)
  await stage.broadcast(alice, coin)
  await says(/has brought a coin/)
  const txids = [coin.id('hex')]
  for (const word of ['world', 'again']) {
    await stage.run('writer', 'post', 'notes', '--data', 'hello', word)
    const [, txid] = await says(new RegExp(`^(\\w+) is signed: hello ${word}`))
    await says(new RegExp(`${txid} is seen`))
    txids.push(txid!)
  }
  await stage.mine()
  for (const txid of txids) await says(new RegExp(`${txid} is mined`))
}
