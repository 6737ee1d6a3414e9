import { useRef } from 'preact/hooks'
import type { EntryShape, Trail, TrailNode } from '../../shapes.ts'
import { get } from '../api.ts'
import { fullTime, short } from '../format.ts'
import { linkTo } from '../router.ts'
import { Empty, Problem, useAsked } from '../ui.tsx'
import type { EntryPart } from './view.ts'

export const trailPart: EntryPart = { name: 'trail', title: 'Trail', Part: TrailOf }

const [WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE] = [150, 50, 28, 14, 8]
/** Characters of a node's text that fit. */
const FITS = 20

function TrailOf({ entry: { path, seq } }: { entry: EntryShape }) {
  const { value, error } = useAsked((signal) => get<Trail>('trail', { pool: path, seq }, signal), `${path} ${seq}`)
  if (!value) return error ? <Problem error={error} /> : <p class="empty">Looking for what came of it …</p>
  const { nodes, isCauseElsewhere, isCut } = value
  return (
    <>
      {nodes.length === 1 && !isCauseElsewhere ? (
        <Empty>It was posted for no other entry, and nothing was posted for it.</Empty>
      ) : (
        <Graph trail={value} />
      )}
      {isCauseElsewhere && <Empty>What the first one was posted for is in a pool that is not here.</Empty>}
      {isCut && <Empty>Not all later entries were looked at: more may have come of it.</Empty>}
    </>
  )
}

interface Laid extends TrailNode {
  x: number
  y: number
  children: number[]
}

/** Causes stand left, consequences right. Each entry has one cause at most, so this is a tree: a leaf has a line of its own, other nodes stand beside the first of their consequences. */
function layOut(nodes: TrailNode[]): { laid: Laid[]; width: number; height: number } {
  const laid: Laid[] = nodes.map((node) => ({ ...node, x: 0, y: 0, children: [] }))
  for (const [i, { parent }] of laid.entries()) if (parent !== undefined) laid[parent]!.children.push(i)
  let lines = 0
  let depth = 0
  const place = (i: number, x: number): void => {
    const node = laid[i]!
    node.x = x
    depth = Math.max(depth, x)
    for (const child of node.children) place(child, x + 1)
    node.y = node.children.length ? laid[node.children[0]!]!.y : lines++
  }
  for (const [i, { parent }] of laid.entries()) if (parent === undefined) place(i, 0)
  return { laid, width: (depth + 1) * (WIDTH + GAP_X) - GAP_X + 2 * EDGE, height: lines * (HEIGHT + GAP_Y) - GAP_Y + 2 * EDGE }
}

function Graph({ trail: { nodes, root } }: { trail: Trail }) {
  const { laid, width, height } = layOut(nodes)
  const box = useRef<SVGSVGElement>(null)
  const left = ({ x }: Laid) => EDGE + x * (WIDTH + GAP_X)
  const top = ({ y }: Laid) => EDGE + y * (HEIGHT + GAP_Y)
  const move = (event: KeyboardEvent, i: number) => {
    const node = laid[i]!
    const siblings = node.parent === undefined ? [i] : laid[node.parent]!.children
    const at = siblings.indexOf(i)
    const to = { ArrowLeft: node.parent, ArrowRight: node.children[0], ArrowUp: siblings[at - 1], ArrowDown: siblings[at + 1] }[event.key]
    if (to === undefined) return
    event.preventDefault()
    box.current!.querySelectorAll<SVGAElement>('a')[to]?.focus()
  }
  return (
    <div class="graph" tabIndex={0} role="region" aria-label="Causes and consequences">
      <svg ref={box} width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="list" aria-label="Entries of the trail">
        <g aria-hidden="true">
          {laid.map((node) => {
            if (node.parent === undefined) return null
            const from = laid[node.parent]!
            const [x1, y1, x2, y2] = [left(from) + WIDTH, top(from) + HEIGHT / 2, left(node), top(node) + HEIGHT / 2]
            return (
              <path
                key={`${node.key} ${node.seq}`}
                class="edge"
                d={`M${x1} ${y1}C${x1 + GAP_X / 2} ${y1} ${x2 - GAP_X / 2} ${y2} ${x2} ${y2}`}
              />
            )
          })}
        </g>
        {laid.map((node, i) => (
          <g key={`${node.key} ${node.seq}`} role="listitem">
            <a
              href={linkTo('pool', node.path, node.seq, 'trail')}
              class={i === root ? 'node root' : 'node'}
              aria-current={i === root ? 'true' : undefined}
              aria-label={wordsOf(node, laid)}
              onKeyDown={(event) => move(event, i)}
            >
              <rect x={left(node)} y={top(node)} width={WIDTH} height={HEIGHT} rx="6" />
              <text x={left(node) + 10} y={top(node) + 20} class="name">
                {nameOf(node)}
              </text>{' '}
              <text x={left(node) + 10} y={top(node) + 38} class="label">
                {clipped(shownIn(node), FITS)}
              </text>
            </a>
          </g>
        ))}
      </svg>
    </div>
  )
}

/** The name of the pool gives way to the number. */
function nameOf({ path, seq }: TrailNode): string {
  const number = ` #${seq}`
  return clipped(path.length === 64 ? short(path) : path, Math.max(4, FITS - 2 - number.length)) + number
}

function shownIn({ label, kind, txid }: TrailNode): string {
  return label.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '·') || (kind === 'tx' ? short(txid ?? '') : kind)
}

function clipped(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text
}

/** A node for who cannot see the lines. */
function wordsOf(node: Laid, laid: Laid[]): string {
  const cause = node.parent === undefined ? '' : `, posted for ${nameOf(laid[node.parent]!)}`
  const made = node.children.length ? `, ${node.children.length} posted for it` : ''
  return `${nameOf(node)} ${clipped(shownIn(node), FITS)}, at ${fullTime(node.at)}${cause}${made}`
}
