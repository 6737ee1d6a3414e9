import { entryRoutes } from './routes/entries.ts'
import { invoiceRoutes } from './routes/invoices.ts'
import { overviewRoutes } from './routes/overview.ts'
import type { Routes } from './routes/route.ts'
import { trailRoutes } from './routes/trail.ts'
import { workRoutes } from './routes/work.ts'

/** What the page can ask for: a file for each part of it. */
export const ROUTES: Routes = { ...overviewRoutes, ...entryRoutes, ...trailRoutes, ...workRoutes, ...invoiceRoutes }
