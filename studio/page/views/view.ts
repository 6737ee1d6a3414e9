import type { ComponentType } from 'preact'
import type { EntryShape, Overview } from '../../shapes.ts'
import type { Place } from '../router.ts'

/** A part of the studio, in a file of its own: its place is `#/<name>`. */
export interface View {
  name: string
  title: string
  isInMenu: boolean
  /** how many things there need somebody */
  badge?: (overview: Overview) => number
  Page: ComponentType<{ place: Place }>
}

/** A part of the page of an entry, likewise: its place is `#/pool/<path>/<seq>/<name>`. */
export interface EntryPart {
  name: string
  title: string
  /** of which entries there is such a part; default: all */
  has?: (entry: EntryShape) => boolean
  Part: ComponentType<{ entry: EntryShape }>
}
