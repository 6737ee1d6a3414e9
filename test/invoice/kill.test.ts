import { expect, it } from 'vitest'
import { TestMachine, until } from '../machine/machine.ts'
import { random, seed } from '../random.ts'
import { paying } from './pay.ts'

const ROUNDS = Number(process.env.OVERPOOL_CHAIN_ROUNDS ?? 5)
const POOL = 'coffee'
/** Wallets that pay one request, and requests of a round. */
const [WALLETS, REQUESTS] = [3, 8]

interface Asked {
  outputs: { amount: number; script: string }[]
  merchantData: string
}

/** Somebody's payment of a request, and whether he was told that it is paid. */
interface Payment {
  request: Asked
  transaction: string
  isAcknowledged: boolean
  isTold: boolean
}

it(`through ${ROUNDS} rounds of kill -9 every request is paid once, and whoever was told so has paid it`, {
  timeout: ROUNDS * 20_000 + 120_000,
}, async () => {
  console.log(`${ROUNDS} rounds, seed ${seed}`)
  await using machine = await TestMachine.start({ [POOL]: { request: { amount: 500 } } })
  const payments: Payment[] = []
  const pay = async (payment: Payment): Promise<void> => {
    const { transaction, request } = payment
    // A machine that was killed answers nothing: the wallet sends its payment again later.
    const answer = await machine.post(POOL, { transaction, merchantData: request.merchantData }).catch(() => undefined)
    if (answer?.status !== 200) return
    payment.isAcknowledged = true
    if (answer.body.memo === 'Paid. Thank you.') payment.isTold = true
  }
  for (let round = 0; round < ROUNDS; round++) {
    const requests = await Promise.all(Array.from({ length: REQUESTS }, () => ask(machine)))
    const wallets = requests.flatMap((request) =>
      Array.from({ length: WALLETS }, (): Payment => ({ request, transaction: paymentOf(request), isAcknowledged: false, isTold: false })),
    )
    payments.push(...wallets)
    // They pay one after the other in each lane, and the machine dies under them.
    const lanes = Array.from({ length: 6 }, async (_, lane) => {
      for (const [i, payment] of wallets.entries()) if (i % 6 === lane) await pay(payment)
    })
    await new Promise((resolve) => setTimeout(resolve, random() * 60))
    await machine.kill()
    await Promise.all(lanes)
    await machine.start()
    for (const payment of wallets) if (!payment.isAcknowledged && random() < 0.5) await pay(payment) // the others give up
  }
  const last = await ask(machine)
  await pay({ request: last, transaction: paymentOf(last), isAcknowledged: false, isTold: false })
  const events = await until(
    () => machine.call('read', { path: POOL }),
    (all) =>
      payments.every(
        ({ transaction, isAcknowledged }) => !isAcknowledged || all.some(({ payment }) => payment.transaction === transaction),
      ),
  )
  const stateOf = (transaction: string) => events.find(({ payment }) => payment.transaction === transaction)?.invoice?.state
  for (const { transaction, isTold } of payments) if (isTold) expect(stateOf(transaction)).toBe('paid')
  for (const request of new Set(payments.map((payment) => payment.request))) {
    const states = payments.flatMap((payment) => (payment.request === request ? [stateOf(payment.transaction)] : []))
    const recorded = states.filter((state) => state !== undefined)
    expect(recorded.filter((state) => state === 'paid')).toHaveLength(recorded.length ? 1 : 0)
    expect(recorded.every((state) => state === 'paid' || state === 'second')).toBe(true)
  }
  const told = payments.filter(({ isTold }) => isTold).length
  console.log(
    `${events.length} payments, ${told} were told that they have paid, ${payments.filter(({ isAcknowledged }) => !isAcknowledged).length} never got an answer`,
  )
})

async function ask(machine: TestMachine): Promise<Asked> {
  return (await (await fetch(`${machine.url}/${POOL}`)).json()) as Asked
}

function paymentOf({ outputs }: Asked): string {
  return paying(outputs.map(({ amount: satoshis, script }) => ({ satoshis, script }))).toString('hex')
}
