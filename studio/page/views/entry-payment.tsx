import type { EntryShape } from '../../shapes.ts'
import { bytes, count, number } from '../format.ts'
import { EntryLink, Facts, Hash, Long, PoolName, Text } from '../ui.tsx'
import type { EntryPart } from './view.ts'

export const paymentPart: EntryPart = { name: 'payment', title: 'Entry', Part: Payment }

function Payment({ entry }: { entry: EntryShape }) {
  const {
    source,
    hops,
    cause,
    id,
    satoshis,
    bytes: size,
    payment = {},
    data,
    fields,
    says,
    version,
    lockTime,
    inputCount,
    outputCount,
  } = entry
  return (
    <>
      <Facts>
        {[
          ['Source', source],
          [
            'Posted for',
            cause && (
              <>
                {cause.path === undefined ? (
                  <>
                    an entry of a pool that is not here, <Hash>{cause.key}</Hash> #{cause.seq}
                  </>
                ) : (
                  <>
                    <EntryLink path={cause.path} seq={cause.seq} /> of <PoolName path={cause.path} />
                  </>
                )}
                {`, ${count(hops, 'step')} since the loop began`}
              </>
            ),
          ],
          ['Says', says !== undefined && <Text lines>{says}</Text>],
          ['Satoshis', satoshis !== undefined && <span class="number">{number(satoshis)}</span>],
          ['Size', size !== undefined && `${bytes(size)}, ${count(inputCount ?? 0, 'input')}, ${count(outputCount ?? 0, 'output')}`],
          ['Version', version !== undefined && `${version}${lockTime ? `, lock time ${number(lockTime)}` : ''}`],
          ['Data', data !== undefined && <Text lines>{data}</Text>],
          ['merchantData', payment.merchantData !== undefined && <Long>{payment.merchantData}</Long>],
          ['refundTo', payment.refundTo !== undefined && <Long>{payment.refundTo}</Long>],
          ['Entry id', <Hash key="id">{id}</Hash>],
        ]}
      </Facts>
      {fields !== undefined && (
        <>
          <h2>{entry.kind === 'tx' ? 'Invoice' : 'Fields'}</h2>
          <Long>{fields}</Long>
        </>
      )}
    </>
  )
}
