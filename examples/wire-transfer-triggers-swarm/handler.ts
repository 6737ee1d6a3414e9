import type { StatusEvent, TxEvent } from 'overpool-cloud'

/** This machine's name, and the address that donations are paid to. */
const { NAME, ADDRESS } = process.env

/** The lighthouse reads the chain and publishes what it finds; the boat subscribes. Both run this on the same entries. The boat needs no node. */
export function onTx(e: TxEvent) {
  const paid = e.parsed.out.filter(({ e: { a } }) => a === ADDRESS).reduce((sum, { e: { v } }) => sum + v, 0)
  console.log(`${e.hash} donates ${paid} sat; it was found ${NAME === 'lighthouse' ? 'on the network' : 'by the swarm'}`)
}

/** A mined one comes with its proof. The boat takes the lighthouse's word for it, since it does not know the headers of the blocks. */
export function onStatus({ of, status, height, proof }: StatusEvent) {
  const place = height === undefined ? '' : ` in block ${height}`
  console.log(`${of.txid} is ${status}${place}${proof ? `, with a proof of ${proof.length} bytes` : ''}`)
}
