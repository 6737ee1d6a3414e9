import { dead } from './dead.tsx'
import { find } from './find.tsx'
import { invoices } from './invoices.tsx'
import { network } from './network.tsx'
import { overview } from './overview.tsx'
import { pool } from './pool.tsx'
import { post } from './post.tsx'
import { runs } from './runs.tsx'
import { state } from './state.tsx'
import type { View } from './view.ts'

/** The parts of the studio, in the order of the menu. */
export const VIEWS: View[] = [overview, runs, state, dead, invoices, network, post, pool, find]
