import { OverpoolError } from '../../shared/errors.ts'
import { fieldsIn, type Routes, textField, textIn } from './route.ts'

export const invoiceRoutes: Routes = {
  'GET invoices': async ({ query }, { machine }) => {
    const after = query.get('after')
    return { invoices: await machine.pools.invoice.list({ path: textIn(query, 'pool'), ...(after && { after }) }) }
  },
  'POST invoices': async ({ body }, { machine }) => {
    const fields = fieldsIn(body)
    const { amount, minutes } = fields
    if (typeof amount !== 'number' || !Number.isSafeInteger(amount) || amount < 1)
      throw new OverpoolError('BAD_ARGUMENT', 'amount must be a whole number of satoshis, from 1 on')
    if (minutes !== undefined && (typeof minutes !== 'number' || !(minutes > 0)))
      throw new OverpoolError('BAD_ARGUMENT', 'minutes, the time until the invoice expires, must be more than 0; leave it out for no end')
    const [path = '', memo] = [textField(fields, 'pool'), textField(fields, 'memo')]
    return machine.pools.invoice({
      path,
      amount,
      ...(memo !== undefined && { memo }),
      ...(minutes !== undefined && { expiresIn: Math.round(minutes * 60_000) }),
    })
  },
  'POST invoices/cancel': ({ body }, { machine }) => {
    const fields = fieldsIn(body)
    return machine.pools.invoice.cancel({ path: textField(fields, 'pool') ?? '', id: textField(fields, 'id') ?? '' })
  },
}
