import type { EntryShape } from '../../shapes.ts'
import { number } from '../format.ts'
import { Chip, Empty, EntryLink, Facts, Hash, Text, When } from '../ui.tsx'
import type { EntryPart } from './view.ts'

export const statusPart: EntryPart = { name: 'status', title: 'Status', has: ({ kind }) => kind === 'tx', Part: Status }

const MEANS: Record<string, string> = {
  local: 'No service has taken it: it is in the ledger alone.',
  sent: 'A service has taken it.',
  seen: 'The network has it.',
  mined: 'It is in a block.',
  rejected: 'The network does not take it.',
  'double-spent': 'Another transaction spends an output that it spends.',
}

function Status({ entry }: { entry: EntryShape }) {
  const { status = 'local', reason, by, height, isProven, history = [], isHistoryCut, proof, path } = entry
  return (
    <>
      <Facts>
        {[
          [
            'Now',
            <>
              <Chip>{status}</Chip> <span class="soft">{MEANS[status]}</span>
            </>,
          ],
          ['Block', height !== undefined && `${number(height)}${status === 'mined' ? (isProven ? ', proven' : ', not proven') : ''}`],
          ['Says', by !== undefined && <Text>{by}</Text>],
          ['Why', reason !== undefined && <Text lines>{reason}</Text>],
        ]}
      </Facts>
      <h2>History</h2>
      {history.length === 0 && <Empty>Nothing was said about it yet.</Empty>}
      <ol class="steps">
        {history.map((step) => (
          <li key={step.seq}>
            <span class="number soft">
              <When at={step.at} />
            </span>
            <span>
              <Chip>{step.status}</Chip>
              {step.height !== undefined && <span class="number"> in block {number(step.height)}</span>}
              {step.isProven && <span class="soft"> with a proof</span>}
              {step.undone !== undefined && <span class="soft"> since the chain took its block back</span>}
              {step.final && <span class="soft"> for good</span>}
              {step.by !== undefined && (
                <span class="soft">
                  {' '}
                  says <Text>{step.by}</Text>
                </span>
              )}
              {step.reason !== undefined && (
                <span class="why">
                  <Text lines>{step.reason}</Text>
                </span>
              )}
            </span>
            <EntryLink path={path} seq={step.seq} />
          </li>
        ))}
      </ol>
      {isHistoryCut && <Empty>Later words were not looked for: there are too many entries between.</Empty>}
      {proof && (
        <>
          <h2>Proof</h2>
          <Facts>
            {[
              [
                'Place',
                proof.index !== undefined && `${number(proof.index)} in block ${proof.height === undefined ? '?' : number(proof.height)}`,
              ],
              ['Block', proof.blockHash !== undefined && <Hash>{proof.blockHash}</Hash>],
              [
                'Merkle root',
                <>
                  <Hash>{proof.root}</Hash> {proof.isRoot === true && <Chip tone="good">as in the header</Chip>}
                  {proof.isRoot === false && <Chip tone="bad">not that of the header</Chip>}
                  {proof.isRoot === undefined && <span class="soft">the header is not among the newest blocks here</span>}
                </>,
              ],
              ['BUMP', <Hash key="bump">{proof.bump}</Hash>],
            ]}
          </Facts>
        </>
      )}
    </>
  )
}
