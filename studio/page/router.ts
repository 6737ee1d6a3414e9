import { useEffect, useState } from 'preact/hooks'

/** Where the page is: what stands in the address after `#/`. */
export interface Place {
  /** without escapes */
  parts: string[]
  query: URLSearchParams
}

function placeNow(): Place {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  return { parts: path.split('/').filter(Boolean).map(unescaped), query: new URLSearchParams(query) }
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** The address of a place. */
export function linkTo(...parts: (string | number)[]): string {
  return `#/${parts.map((part) => encodeURIComponent(String(part))).join('/')}`
}

export function go(to: string): void {
  location.hash = to
}

/** The same, without an entry in the history of the browser. */
export function replace(to: string): void {
  history.replaceState(null, '', to)
  dispatchEvent(new HashChangeEvent('hashchange'))
}

export function usePlace(): Place {
  const [place, setPlace] = useState(placeNow)
  useEffect(() => {
    const moved = () => setPlace(placeNow())
    addEventListener('hashchange', moved)
    return () => removeEventListener('hashchange', moved)
  }, [])
  return place
}
