import { entryRoutes } from './routes/entries.ts'
import { invoiceRoutes } from './routes/invoices.ts'
import { overviewRoutes } from './routes/overview.ts'
import { pauseRoutes } from './routes/pause.ts'
import type { Routes } from './routes/route.ts'
import { runRoutes } from './routes/runs.ts'
import { stateRoutes } from './routes/state.ts'
import { trailRoutes } from './routes/trail.ts'
import { workRoutes } from './routes/work.ts'

/** What the page can ask for: a file for each part of it. */
export const ROUTES: Routes = {
  ...overviewRoutes,
  ...entryRoutes,
  ...trailRoutes,
  ...workRoutes,
  ...invoiceRoutes,
  ...runRoutes,
  ...stateRoutes,
  ...pauseRoutes,
}
