import type { VNode } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

/** Rows above and below the visible ones that are drawn as well. */
const SPARE = 12
/** No browser draws an element much taller, px. */
export const MAX_HEIGHT = 15_000_000

export interface VirtualListProps {
  /** for screen readers */
  label: string
  count: number
  rowHeight: number
  /** draws a row. Its first link is what the arrow keys move between */
  row: (index: number) => VNode
  /** called with the visible rows, from the first to the one after the last */
  shows: (from: number, to: number) => void
  /** called when the list begins or ceases to be at its top */
  atTop?: (is: boolean) => void
  /** changes when the list shows something else, and begins anew: at the row `beginAt`, or at its top */
  about: string
  beginAt?: number | undefined
  headings: VNode
}

/** A table of which only the visible rows are drawn. All rows have one height, so where a row stands is a multiplication. */
export function VirtualList({ label, count, rowHeight, row, shows, atTop, about, beginAt, headings }: VirtualListProps) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600 })
  const focusAt = useRef<number | undefined>(undefined)
  const first = Math.max(0, Math.floor(view.top / rowHeight) - SPARE)
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + SPARE)

  useLayoutEffect(() => {
    const element = box.current!
    const look = () => {
      const { scrollTop: top, clientHeight: height } = element
      setView((before) => (before.top === top && before.height === height ? before : { top, height }))
    }
    const size = new ResizeObserver(look)
    size.observe(element)
    element.addEventListener('scroll', look, { passive: true })
    return () => {
      size.disconnect()
      element.removeEventListener('scroll', look)
    }
  }, [])
  useLayoutEffect(() => {
    const { clientHeight } = box.current!
    box.current!.scrollTop = beginAt === undefined || (beginAt + 2) * rowHeight < clientHeight ? 0 : beginAt * rowHeight - clientHeight / 3
  }, [about])
  useEffect(() => shows(first, last), [first, last, count, about])
  const isTop = view.top < rowHeight
  useEffect(() => atTop?.(isTop), [isTop])
  useEffect(() => {
    if (focusAt.current === undefined) return
    const link = box.current!.querySelector<HTMLElement>(`[aria-rowindex="${focusAt.current + 2}"] a`)
    if (!link) return
    focusAt.current = undefined
    link.focus({ preventScroll: true })
  })

  const move = (event: KeyboardEvent) => {
    const now = (event.target as Element).closest('[aria-rowindex]')?.getAttribute('aria-rowindex')
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1)
    const at = now === null || now === undefined ? Math.floor(view.top / rowHeight) - 1 : Number(now) - 2
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: count - 1 }[event.key]
    if (to === undefined || event.metaKey || event.ctrlKey || event.altKey || !count) return
    event.preventDefault()
    const place = Math.min(count - 1, Math.max(0, to))
    const element = box.current!
    if (place * rowHeight < element.scrollTop) element.scrollTop = place * rowHeight
    if ((place + 1) * rowHeight > element.scrollTop + element.clientHeight - HEAD_ROOM)
      element.scrollTop = (place + 1) * rowHeight - element.clientHeight + HEAD_ROOM
    focusAt.current = place
    setView((before) => ({ ...before }))
  }

  const rows: VNode[] = []
  for (let i = first; i < last; i++)
    rows.push(
      <div
        key={i}
        role="row"
        aria-rowindex={i + 2}
        class="row"
        style={{ transform: `translateY(${i * rowHeight}px)`, height: `${rowHeight}px` }}
      >
        {row(i)}
      </div>,
    )
  return (
    <div class="list" ref={box} role="table" aria-label={label} aria-rowcount={count + 1} tabIndex={0} onKeyDown={move}>
      <div role="rowgroup" class="headings">
        {headings}
      </div>
      <div role="rowgroup" class="rows" style={{ height: `${count * rowHeight}px` }}>
        {rows}
      </div>
    </div>
  )
}

/** The headings stay at the top of the list, px. */
const HEAD_ROOM = 34
